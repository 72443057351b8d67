"""A notebook's cells with the SageMaker Python SDK v3, from training to the deletion; what it saw goes to a file.

Usage: `notebook_sdk_v3.py WORK ROLE OUT`; WORK holds `photos` and `points` (data), `dogs` and `slope` (source code).
The endpoint URL, the region and the credentials come from the environment, the bucket from the SDK's configuration.
"""

import json
import sys
from pathlib import Path
from typing import Any

import boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter
from sagemaker.core.resources import EndpointConfig, Model, TrainingJob
from sagemaker.serve import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode
from sagemaker.train.distributed import Torchrun
from sagemaker.train.tuner import HyperparameterTuner

TRAINING_IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.2.0-cpu-py310"
INFERENCE_IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.2.0-cpu-py310"

work, role, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
seen: dict[str, Any] = {}
session = Session()
bucket = session.default_bucket()
points = session.upload_data(path=str(work / "points"), bucket=bucket, key_prefix="v3/points")


def trainer(directory: str, entry_script: str, instances: int = 1, **settings: Any) -> ModelTrainer:
    return ModelTrainer(
        training_image=TRAINING_IMAGE,
        role=role,
        sagemaker_session=session,
        source_code=SourceCode(
            source_dir=str(work / directory), entry_script=entry_script, requirements=settings.pop("requirements", None)
        ),
        compute=Compute(instance_type="ml.m5.large", instance_count=instances, volume_size_in_gb=10),
        **settings,
    )


# A search, which goes on while the rest is tried.
tuner = HyperparameterTuner(
    trainer("slope", "train.py", base_job_name="slope-v3"),
    objective_metric_name="loss",
    objective_type="Minimize",
    metric_definitions=[{"Name": "loss", "Regex": "loss=([-0-9.e]+);"}],
    hyperparameter_ranges={
        "rate": ContinuousParameter(0.001, 0.05),
        "steps": IntegerParameter(5, 20),
        "start": CategoricalParameter(["zero", "one"]),
    },
    max_jobs=3,
    max_parallel_jobs=1,
    base_tuning_job_name="slope-v3",  # the names it makes are one a minute
)
tuner.tune(inputs=[InputData(channel_name="points", data_source=points)], wait=False)

# Real training on photos of this machine, its log shown as it comes.
photos = trainer(
    "dogs", "train_model.py", base_job_name="dogs-v3", hyperparameters={"epochs": 1, "batch-size": 4, "lr": 0.01}
)
photos.train(input_data_config=[InputData(channel_name="training", data_source=str(work / "photos"))])
job = photos._latest_training_job
seen["train"] = {
    "name": job.training_job_name,
    "status": job.training_job_status,
    "model": job.model_artifacts.s3_model_artifacts,
    "channels": [channel.channel_name for channel in job.input_data_config],
}

# Two hosts, and a requirement that is not there yet.
slopes = trainer(
    "slope_with_requirements",
    "train.py",
    instances=2,
    requirements="requirements.txt",
    base_job_name="slopes-v3",
    hyperparameters={"rate": 0.02, "units": "slope_units"},
)
slopes.train(input_data_config=[InputData(channel_name="points", data_source=points)], wait=False)

# Two hosts that train one model.
together = trainer(
    "slope",
    "together.py",
    instances=2,
    distributed=Torchrun(),
    base_job_name="together-v3",
    hyperparameters={"rate": 0.05},
)
together.train(input_data_config=[InputData(channel_name="points", data_source=points)], wait=False)

builder = ModelBuilder(
    s3_model_data_url=job.model_artifacts.s3_model_artifacts,
    image_uri=INFERENCE_IMAGE,
    role_arn=role,
    sagemaker_session=session,
    source_code=SourceCode(source_dir=str(work / "dogs"), entry_script="inference.py"),
    instance_type="ml.m5.large",
)
model = builder.build(model_name="dogs-v3-model")
endpoint = builder.deploy(endpoint_name="dogs-v3", initial_instance_count=1, instance_type="ml.m5.large")
photo = next((work / "photos" / "test").rglob("*.jpg"))
boto3.client("s3").upload_file(str(photo), bucket, "photo-v3.jpg")
link = boto3.client("s3").generate_presigned_url("get_object", {"Bucket": bucket, "Key": "photo-v3.jpg"})
seen["endpoint"] = [endpoint.endpoint_name, endpoint.refresh().endpoint_status]
seen["predictions"] = {
    "jpeg": json.loads(endpoint.invoke(body=photo.read_bytes(), content_type="image/jpeg").body.read()),
    "json": json.loads(endpoint.invoke(body=json.dumps({"url": link}), content_type="application/json").body.read()),
}

slopes._latest_training_job.wait()
finished = TrainingJob.get(slopes._latest_training_job.training_job_name)
seen["slopes"] = {"status": finished.training_job_status, "model": finished.model_artifacts.s3_model_artifacts}
together._latest_training_job.wait()
finished = TrainingJob.get(together._latest_training_job.training_job_name)
seen["together"] = {"status": finished.training_job_status, "model": finished.model_artifacts.s3_model_artifacts}
tuner.wait()
seen["tuning"] = {
    "status": tuner.describe().hyper_parameter_tuning_job_status,
    "best": tuner.best_training_job(),
    "trials": tuner.analytics().dataframe().to_dict("records"),
}

config = EndpointConfig.get(endpoint.endpoint_config_name)
endpoint.delete()
config.delete()
Model.get("dogs-v3-model").delete()
out.write_text(json.dumps(seen, default=str))
