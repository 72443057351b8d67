"""Scripts as people write them while they learn, unchanged: a training job, an endpoint and a Lambda function."""

import base64
import io
import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.artifacts import files, unpacked
from tests.clients.conftest import BREEDS
from tests.conftest import LocalAws
from tests.localaws.hosting import IMAGE as SERVING_IMAGE
from tests.localaws.hosting import eventually, refusal
from tests.localaws.jobs import IMAGE as TRAINING_IMAGE
from tests.localaws.jobs import tar_gz

ENDPOINT = "pytorch-dog-breeds"  # as lambda_function.py has it


@pytest.fixture(scope="module")
def data(local_aws: LocalAws, work: Path, bucket: str) -> str:
    """The photos in the bucket, a folder a breed."""
    s3 = local_aws.client("s3")
    for path in (work / "photos").rglob("*.jpg"):
        s3.upload_file(str(path), bucket, f"beginners/{path.relative_to(work)}")
    return f"s3://{bucket}/beginners/photos/"


@pytest.fixture(scope="module")
def job(local_aws: LocalAws, work: Path, bucket: str, role: str, data: str) -> dict[str, Any]:
    """train_model.py, run to its end."""
    source = tar_gz({"train_model.py": (work / "dogs" / "train_model.py").read_bytes()})
    local_aws.client("s3").put_object(Bucket=bucket, Key="beginners/sourcedir.tar.gz", Body=source)
    sagemaker, name = local_aws.client("sagemaker"), "beginners-train"
    sagemaker.create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={
            "TrainingInputMode": "File",
            "TrainingImage": TRAINING_IMAGE,
            "MetricDefinitions": [{"Name": "valid_loss", "Regex": "valid_loss: ([0-9.]+)"}],
        },
        HyperParameters={
            "sagemaker_program": "train_model.py",
            "sagemaker_submit_directory": f"s3://{bucket}/beginners/sourcedir.tar.gz",
            "epochs": "1",
            "batch-size": "4",
        },
        InputDataConfig=[
            {"ChannelName": "training", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": data}}}
        ],
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/beginners/models"},
        ResourceConfig={"InstanceType": "ml.g4dn.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        RoleArn=role,
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )

    def ended() -> Any:
        description = sagemaker.describe_training_job(TrainingJobName=name)
        return description if description["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    description: dict[str, Any] = eventually(ended, 120)
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    return description


@pytest.fixture(scope="module")
def endpoint(local_aws: LocalAws, work: Path, bucket: str, role: str, job: dict[str, Any]) -> Iterator[str]:
    """The model behind inference.py."""
    trained = files(local_aws, job["ModelArtifacts"]["S3ModelArtifacts"])
    model = tar_gz(trained | {"code/inference.py": (work / "dogs" / "inference.py").read_bytes()})
    local_aws.client("s3").put_object(Bucket=bucket, Key="beginners/model.tar.gz", Body=model)
    sagemaker = local_aws.client("sagemaker")
    sagemaker.create_model(
        ModelName=ENDPOINT,
        ExecutionRoleArn=role,
        PrimaryContainer={
            "Image": SERVING_IMAGE,
            "ModelDataUrl": f"s3://{bucket}/beginners/model.tar.gz",
            "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
        },
    )
    variant = {"InitialInstanceCount": 1, "InstanceType": "ml.t2.medium", "VariantName": "AllTraffic"}
    sagemaker.create_endpoint_config(
        EndpointConfigName=ENDPOINT, ProductionVariants=[{"ModelName": ENDPOINT, **variant}]
    )
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=ENDPOINT)
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName=ENDPOINT, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    yield ENDPOINT
    sagemaker.delete_endpoint(EndpointName=ENDPOINT)


@pytest.fixture(scope="module")
def function(local_aws: LocalAws, work: Path, role: str, endpoint: str) -> str:
    """lambda_function.py, under the role that the rest runs under."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.write(work / "dogs" / "lambda_function.py", "lambda_function.py")
    functions, name = local_aws.client("lambda"), "classify-dogs"
    functions.create_function(
        FunctionName=name,
        Runtime="python3.9",
        Handler="lambda_function.lambda_handler",
        Role=role,
        Code={"ZipFile": archive.getvalue()},
        Timeout=60,
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return name


def presigned(local_aws: LocalAws, bucket: str, key: str) -> str:
    """A photo's presigned address, as boto3 makes it when nobody asks for a version of signatures."""
    url: str = local_aws.client("s3").generate_presigned_url("get_object", {"Bucket": bucket, "Key": key})
    assert "AWSAccessKeyId=" in url  # Signature Version 2
    return url


def test_reads_the_metric_that_a_script_logs(local_aws: LocalAws, job: dict[str, Any]) -> None:
    address = job["ModelArtifacts"]["S3ModelArtifacts"].replace("model.tar.gz", "output.tar.gz")
    history = unpacked(local_aws, address)["history.json"]
    (metric,) = job["FinalMetricDataList"]
    assert (len(history), metric["MetricName"]) == (1, "valid_loss")
    assert metric["Value"] == pytest.approx(history[0]["valid"], abs=1e-4)


def test_logs_what_a_script_logs(local_aws: LocalAws, job: dict[str, Any]) -> None:
    logs = local_aws.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job['TrainingJobName']}/")[
        "logStreams"
    ]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
    lines = [event["message"] for event in events["events"]]
    assert "Running on device cpu, hosts ['algo-1']" in lines
    assert lines[-1] == "epoch 1 of 1 is done"


def test_answers_to_a_photo(local_aws: LocalAws, work: Path, endpoint: str) -> None:
    photo = next((work / "photos" / "test").rglob("*.jpg")).read_bytes()
    runtime = local_aws.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(EndpointName=endpoint, ContentType="image/jpeg", Body=photo)
    scores = json.loads(answer["Body"].read())
    assert (len(scores), len(scores[0])) == (1, len(BREEDS))
    assert all(math.isfinite(score) for score in scores[0])


def test_says_what_a_handler_raises(local_aws: LocalAws, endpoint: str) -> None:
    runtime = local_aws.client("sagemaker-runtime")
    code, message = refusal(runtime.invoke_endpoint, EndpointName=endpoint, ContentType="text/csv", Body=b"1,2")
    assert code == "ModelError"
    assert "cannot read text/csv" in message


def test_a_function_asks_about_the_address_of_a_photo(
    local_aws: LocalAws, bucket: str, work: Path, endpoint: str, function: str
) -> None:
    path = next((work / "photos" / "test").rglob("*.jpg"))
    direct = local_aws.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, ContentType="image/jpeg", Body=path.read_bytes()
    )
    event = {"url": presigned(local_aws, bucket, f"beginners/{path.relative_to(work)}")}
    answer = local_aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event), LogType="Tail")
    result = json.loads(answer["Payload"].read())
    assert result.get("statusCode") == 200, result
    assert json.loads(result["body"]) == json.loads(direct["Body"].read())
    log = base64.b64decode(answer["LogResult"]).decode()
    assert "event: {'url':" in log
    assert "ms left" in log
