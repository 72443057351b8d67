"""A notebook's cells with the SageMaker Python SDK v2, from the upload to the deletion; what it saw goes to a file.

Usage: `notebook_sdk_v2.py WORK ROLE OUT`; WORK holds `photos` and `points` (data), `dogs` and `slope` (source code).
The endpoint URL, the region and the credentials come from the environment, the bucket from the SDK's configuration.
"""

import json
import sys
from pathlib import Path
from typing import Any

import sagemaker
from sagemaker.analytics import HyperparameterTuningJobAnalytics
from sagemaker.deserializers import JSONDeserializer
from sagemaker.inputs import TrainingInput
from sagemaker.predictor import Predictor
from sagemaker.pytorch import PyTorch, PyTorchModel
from sagemaker.serializers import IdentitySerializer
from sagemaker.tuner import (
    CategoricalParameter,
    ContinuousParameter,
    HyperbandStrategyConfig,
    HyperparameterTuner,
    IntegerParameter,
    StrategyConfig,
    WarmStartConfig,
    WarmStartTypes,
)

work, role, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
seen: dict[str, Any] = {}
session = sagemaker.Session()
bucket = session.default_bucket()
photos = session.upload_data(path=str(work / "photos"), bucket=bucket, key_prefix="photos")
points = session.upload_data(path=str(work / "points"), key_prefix="points")
seen["uploaded"] = [photos, sorted(session.list_s3_files(bucket, "points"))]


def estimator(directory: str, entry_point: str, **settings: Any) -> PyTorch:
    return PyTorch(
        entry_point=entry_point,
        source_dir=str(work / directory),
        role=role,
        sagemaker_session=session,
        py_version="py310",
        **{"framework_version": "2.2", "instance_type": "ml.m5.large", "instance_count": 1, **settings},
    )


# A search on real photos, which goes on while the rest is tried.
photo_tuner = HyperparameterTuner(
    estimator("dogs", "hpo.py", base_job_name="pytorch-dog-hpo"),
    objective_metric_name="Test Loss",
    objective_type="Minimize",
    metric_definitions=[{"Name": "Test Loss", "Regex": "Testing Loss: ([0-9\\.]+)"}],
    hyperparameter_ranges={
        "learning_rate": ContinuousParameter(0.001, 0.1),
        "batch_size": CategoricalParameter([2, 4]),
    },
    max_jobs=2,
    max_parallel_jobs=1,
)
photo_tuner.fit({"training": photos}, wait=False)

# Each strategy on a script that takes no time.
LOSS = [{"Name": "loss", "Regex": "loss=([-0-9.e]+);"}]
START = CategoricalParameter(["zero", "one"])
slope = estimator("slope", "train.py")


def search(name: str, ranges: dict[str, Any], **settings: Any) -> HyperparameterTuner:
    tuner = HyperparameterTuner(
        slope,
        objective_metric_name="loss",
        objective_type="Minimize",
        metric_definitions=LOSS,
        hyperparameter_ranges=ranges,
        base_tuning_job_name=name,
        **{"max_jobs": 2, "max_parallel_jobs": 2, **settings},
    )
    tuner.fit({"points": points}, wait=False)
    return tuner


tuners = {
    "Random": search(
        "random",
        {"rate": ContinuousParameter(0.001, 0.05, "Logarithmic"), "steps": IntegerParameter(5, 20), "start": START},
        strategy="Random",
        random_seed=7,
    ),
    "Grid": search("grid", {"start": START, "steps": CategoricalParameter([3, 6])}, strategy="Grid", max_jobs=4),
    "Hyperband": search(
        "hyperband",
        {"rate": ContinuousParameter(0.001, 0.05), "steps": IntegerParameter(5, 9)},
        strategy="Hyperband",
        strategy_config=StrategyConfig(HyperbandStrategyConfig(max_resource=9, min_resource=1)),
    ),
    "Bayesian": search(
        "bayesian",
        {"rate": ContinuousParameter(0.0001, 0.05)},
        strategy="Bayesian",
        early_stopping_type="Auto",
        max_jobs=3,
        max_parallel_jobs=1,
    ),
}

# Two hosts, a requirement that is not there yet, the log as it comes.
fitted = estimator(
    "slope_with_requirements",
    "train.py",
    instance_count=2,
    base_job_name="slope",
    output_path=f"s3://{bucket}/slopes",
    metric_definitions=LOSS,
    hyperparameters={"rate": 0.02, "units": "slope_units", "pause": 0.1},
    environment={"COLOUR": "blue"},
    max_run=300,
    tags=[{"Key": "team", "Value": "dogs"}],
)
fitted.fit({"points": TrainingInput(points, distribution="ShardedByS3Key")})
seen["fit"] = {
    "description": fitted.latest_training_job.describe(),
    "model": fitted.model_data,
    "metrics": sagemaker.TrainingJobAnalytics(fitted.latest_training_job.name, ["loss"]).dataframe().to_dict("list"),
}

# Two hosts that train one model; the SDK allows that on instances with GPUs only.
together = estimator(
    "slope",
    "together.py",
    framework_version="2.2.0",
    instance_count=2,
    instance_type="ml.g4dn.xlarge",
    distribution={"torch_distributed": {"enabled": True}},
    base_job_name="together",
    hyperparameters={"rate": 0.05},
)
together.fit({"points": points})
seen["together"] = {"description": together.latest_training_job.describe(), "model": together.model_data}

warm = search(
    "warm",
    {"rate": ContinuousParameter(0.001, 0.05, "Logarithmic"), "steps": IntegerParameter(5, 20), "start": START},
    strategy="Bayesian",
    warm_start_config=WarmStartConfig(
        WarmStartTypes.IDENTICAL_DATA_AND_ALGORITHM, parents={tuners["Random"].latest_tuning_job.name}
    ),
)
tuners["Warm"] = warm
for tuner in tuners.values():
    tuner.wait()
seen["tuning"] = {
    name: {
        "description": tuner.describe(),
        "best": tuner.best_training_job(),
        "trials": HyperparameterTuningJobAnalytics(tuner.latest_tuning_job.name).dataframe().to_dict("records"),
    }
    for name, tuner in tuners.items()
}

photo_tuner.wait()
best = photo_tuner.best_estimator()
seen["best"] = {
    "description": photo_tuner.describe(),
    "hyperparameters": best.hyperparameters(),
    "model": best.model_data,
}


def photo_predictor(endpoint_name: str, sagemaker_session: Any) -> Any:
    serializer, deserializer = IdentitySerializer("image/jpeg"), JSONDeserializer()
    return Predictor(endpoint_name, sagemaker_session, serializer=serializer, deserializer=deserializer)


model = PyTorchModel(
    model_data=best.model_data,
    role=role,
    sagemaker_session=session,
    entry_point="inference.py",
    source_dir=str(work / "dogs"),
    framework_version="2.2",
    py_version="py310",
    predictor_cls=photo_predictor,
)
predictor = model.deploy(initial_instance_count=1, instance_type="ml.m5.large", wait=False)
session.wait_for_endpoint(predictor.endpoint_name, poll=2)  # deploy itself asks every 30 s
photo = next((work / "photos" / "test").rglob("*.jpg"))
key = str(photo.relative_to(work))
link = session.boto_session.client("s3").generate_presigned_url("get_object", {"Bucket": bucket, "Key": key})
seen["predictions"] = {
    "jpeg": predictor.predict(photo.read_bytes()),
    "json": predictor.predict(json.dumps({"url": link}), initial_args={"ContentType": "application/json"}),
}
try:
    predictor.predict(b"no photo")
except Exception as error:
    seen["refused"] = f"{type(error).__name__}: {error}"

client = session.sagemaker_client
seen["endpoint"] = client.describe_endpoint(EndpointName=predictor.endpoint_name)
seen["config"] = session.describe_endpoint_config(seen["endpoint"]["EndpointConfigName"])
seen["described"] = client.describe_model(ModelName=model.name)
predictor.delete_model()
predictor.delete_endpoint(delete_endpoint_config=True)
out.write_text(json.dumps(seen, default=str))
