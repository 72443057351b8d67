"""What the tests of endpoints share: models small enough to start in half a second, and the steps to serve them."""

import io
import json
import tarfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.conftest import LocalAws

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
READ_MODELS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}],
}
SEE_ALARMS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": "*"}],
}
# Answers with its own name and process, so that a test sees who answered.
NAMED = """
import json, os, time

def model_fn(model_dir):
    return {"name": NAME, "pid": os.getpid()}

def input_fn(body, content_type):
    return json.loads(body)

def predict_fn(data, model):
    time.sleep(data.get("seconds", 0))
    if "exit" in data:
        os._exit(data["exit"])
    return {**model, "data": data}

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""


def named(name: str) -> str:
    """The source of an inference.py whose model has this name."""
    return f"NAME = {name!r}\n{NAMED}"


def archive(files: Mapping[str, bytes | str]) -> bytes:
    """A model.tar.gz."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def unique(stem: str) -> str:
    """A name of this test's own: the server is shared."""
    return f"{stem}-{uuid.uuid4().hex[:8]}"


def eventually(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true answer of a condition that has `seconds` to come about."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return answer


def refusal(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    """The code and the message with which a call is refused."""
    with pytest.raises(ClientError) as refused:
        call(**request)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


@dataclass(frozen=True)
class Hosting:
    """The steps from an inference.py to an answer, on a local AWS with a bucket and a role for them."""

    aws: LocalAws
    sagemaker: Any
    runtime: Any
    bucket: str
    role: str

    @classmethod
    def prepare(cls, aws: LocalAws) -> "Hosting":
        """With a bucket and a role of its own."""
        name = unique("hosting")
        aws.client("s3").create_bucket(Bucket=name)
        iam = aws.client("iam")
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        for policy, document in (("models", READ_MODELS), ("alarms", SEE_ALARMS)):
            iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
        return cls(aws, aws.client("sagemaker"), aws.client("sagemaker-runtime"), name, role)

    def model(self, data: bytes | str, image: str = IMAGE, **environment: str) -> str:
        """A model from a model.tar.gz, or from the source of its inference.py."""
        name = unique("model")
        content = archive({"code/inference.py": data}) if isinstance(data, str) else data
        self.aws.client("s3").put_object(Bucket=self.bucket, Key=f"{name}/model.tar.gz", Body=content)
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=self.role,
            PrimaryContainer={
                "Image": image,
                "ModelDataUrl": f"s3://{self.bucket}/{name}/model.tar.gz",
                "Environment": environment,
            },
        )
        return name

    def config(self, *models: str, count: int = 1, capture: Mapping[str, Any] | None = None, **members: Any) -> str:
        """An endpoint config with a variant for each model: AllTraffic, or v0, v1, ..."""
        name = unique("config")
        names = ["AllTraffic"] if len(models) == 1 else [f"v{index}" for index in range(len(models))]
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[
                {
                    "VariantName": variant,
                    "ModelName": model,
                    "InitialInstanceCount": count,
                    "InstanceType": "ml.m5.large",
                    **members,
                }
                for variant, model in zip(names, models, strict=True)
            ],
            **({"DataCaptureConfig": capture} if capture else {}),
        )
        return name

    def endpoint(self, config: str) -> str:
        """An endpoint of a config, when it is no longer being created."""
        name = unique("endpoint")
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        self.at_rest(name)
        return name

    def at_rest(self, endpoint: str, seconds: float = 60) -> dict[str, Any]:
        """The endpoint's description once nothing is under way."""

        def described() -> Any:
            description = self.sagemaker.describe_endpoint(EndpointName=endpoint)
            return description if description["EndpointStatus"] in ("InService", "Failed") else None

        answer: dict[str, Any] = eventually(described, seconds)
        return answer

    def invoke(self, endpoint: str, data: Any = None, **members: Any) -> Any:
        """The JSON that an endpoint answers to JSON."""
        answer = self.runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType="application/json", Body=json.dumps(data or {}), **members
        )
        return json.loads(answer["Body"].read())

    def delete(self, endpoint: str) -> None:
        """Delete an endpoint as soon as it is at rest, which scaling may disturb again, and wait until it is gone."""

        def begun() -> bool:
            try:
                self.sagemaker.delete_endpoint(EndpointName=endpoint)
            except ClientError as error:
                if "Cannot update in-progress endpoint" not in str(error):
                    raise
                return False
            return True

        eventually(begun)
        self.sagemaker.get_waiter("endpoint_deleted").wait(
            EndpointName=endpoint, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )

    def processes(self) -> set[int]:
        """The serving processes there are."""
        return {
            child.pid
            for child in psutil.Process(self.aws.process.pid).children(recursive=True)
            if any(part.endswith("containers/serving.py") for part in _command(child))
        }


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # it ended meanwhile
        return []
