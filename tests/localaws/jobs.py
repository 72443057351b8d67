"""What the tests of jobs share: a bucket, a role, requests that are right but for what a test changes, and waiting."""

import io
import json
import tarfile
import time
import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import LocalAws
from tests.wheel import wheel

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-cpu-py312-ubuntu22.04-sagemaker"
LOSS = {"Name": "loss", "Regex": r"loss=([-0-9.e]+)"}
# Of a job: the operation that describes it, the member that names it, the member that holds its status.
KINDS = {
    "TrainingJob": ("describe_training_job", "TrainingJobName", "TrainingJobStatus"),
    "ProcessingJob": ("describe_processing_job", "ProcessingJobName", "ProcessingJobStatus"),
    "TuningJob": (
        "describe_hyper_parameter_tuning_job",
        "HyperParameterTuningJobName",
        "HyperParameterTuningJobStatus",
    ),
}


def tar_gz(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:6]}"


def refused(call: Any, **request: Any) -> tuple[str, str]:
    """The code and the message with which a call is refused."""
    with pytest.raises(ClientError) as refusal:
        call(**request)
    error = refusal.value.response["Error"]
    return error["Code"], error["Message"]


class Workbench:
    """An account with a bucket and a role that may read and write it."""

    def __init__(self, local_aws: LocalAws) -> None:
        self.s3 = local_aws.client("s3")
        self.iam = local_aws.client("iam")
        self.logs = local_aws.client("logs")
        self.sagemaker = local_aws.client("sagemaker")
        self.bucket = unique("jobs")
        self.s3.create_bucket(Bucket=self.bucket)
        self.role = self.make_role(["s3:GetObject", "s3:PutObject"], ["s3:ListBucket"])

    def make_role(self, on_objects: list[str], on_bucket: list[str]) -> str:
        """A role that SageMaker may take on, with these rights in the bucket."""
        name = unique("role")
        bucket = f"arn:aws:s3:::{self.bucket}"
        trusted = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        trust = {"Version": "2012-10-17", "Statement": [trusted]}
        granted = [(on_objects, f"{bucket}/*"), (on_bucket, bucket)]
        statements = [
            {"Effect": "Allow", "Action": actions, "Resource": where} for actions, where in granted if actions
        ]
        answer = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        if statements:
            policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
            self.iam.put_role_policy(RoleName=name, PolicyName="work", PolicyDocument=policy)
        return str(answer["Role"]["Arn"])

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def put(self, key: str, body: str | bytes) -> str:
        """An object; returns its address."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body if isinstance(body, bytes) else body.encode())
        return self.uri(key)

    def get(self, key: str) -> bytes:
        content: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def keys(self, prefix: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return [item["Key"] for item in found]

    def unpacked(self, uri: str) -> dict[str, str]:
        """The files of a tar.gz in the bucket."""
        with tarfile.open(fileobj=io.BytesIO(self.get(uri.removeprefix(f"s3://{self.bucket}/")))) as tar:
            members = [(member.name, tar.extractfile(member)) for member in tar.getmembers()]
            return {name: file.read().decode() for name, file in members if file}

    def source(self, script: str, **others: str) -> dict[str, str]:
        """Hyperparameters for script mode with this train.py."""
        archive = tar_gz({name: content.encode() for name, content in {"train.py": script, **others}.items()})
        address = self.put(f"{unique('code')}/sourcedir.tar.gz", archive)
        return {"sagemaker_program": "train.py", "sagemaker_submit_directory": address}

    def request_of_a_wheel(self, script: str) -> dict[str, Any]:
        """A CreateTrainingJob request that needs a package, whose wheel is beside the script: no index is asked."""
        name, content = wheel()
        files = {"train.py": script.encode(), "requirements.txt": f"./{name}\n".encode(), name: content}
        address = self.put(f"{unique('code')}/with-wheel.tar.gz", tar_gz(files))
        return self.training_request({"sagemaker_program": "train.py", "sagemaker_submit_directory": address})

    def channel(self, name: str, uri: str, kind: str = "S3Prefix") -> dict[str, Any]:
        return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": uri}}}

    def training_request(self, hyperparameters: Mapping[str, str], **changes: Any) -> dict[str, Any]:
        """A CreateTrainingJob request with a name of its own."""
        return {
            "TrainingJobName": unique("job"),
            "AlgorithmSpecification": {
                "TrainingInputMode": "File",
                "TrainingImage": IMAGE,
                "MetricDefinitions": [LOSS],
            },
            "RoleArn": self.role,
            "HyperParameters": dict(hyperparameters),
            "OutputDataConfig": {"S3OutputPath": self.uri("models/")},
            "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **changes,
        }

    def train(self, script: str, **changes: Any) -> dict[str, Any]:
        """Run a train.py to its end; returns the description."""
        request = self.training_request(self.source(script), **changes)
        self.sagemaker.create_training_job(**request)
        return self.finished("TrainingJob", request["TrainingJobName"])

    def processing_request(self, script: str, **changes: Any) -> dict[str, Any]:
        """A CreateProcessingJob request, with a name of its own, that runs a script."""
        code = self.put(f"{unique('code')}/work.py", script)
        given = {"S3Uri": code, "LocalPath": "/opt/ml/processing/input/code", "S3DataType": "S3Prefix"}
        cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        return {
            "ProcessingJobName": unique("job"),
            "AppSpecification": {
                "ImageUri": IMAGE,
                "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/work.py"],
            },
            "ProcessingInputs": [{"InputName": "code", "S3Input": {**given, "S3InputMode": "File"}}],
            "ProcessingResources": {"ClusterConfig": cluster},
            "RoleArn": self.role,
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **changes,
        }

    def process(self, script: str, **changes: Any) -> dict[str, Any]:
        """Run a script as a processing job to its end; returns the description."""
        request = self.processing_request(script, **changes)
        self.sagemaker.create_processing_job(**request)
        return self.finished("ProcessingJob", request["ProcessingJobName"])

    def tuning_request(self, script: str, config: Mapping[str, Any], **static: str) -> dict[str, Any]:
        """A CreateHyperParameterTuningJob request, with a name of its own, that minimises the `loss` of a train.py."""
        request = self.training_request({})
        names = ("AlgorithmSpecification", "RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition")
        definition = {name: request[name] for name in names}
        return {
            "HyperParameterTuningJobName": unique("tune"),
            "HyperParameterTuningJobConfig": {
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
                "ParameterRanges": {
                    "ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0.001", "MaxValue": "1"}]
                },
                **config,
            },
            "TrainingJobDefinition": {**definition, "StaticHyperParameters": self.source(script) | static},
        }

    def describe(self, kind: str, name: str) -> dict[str, Any]:
        operation, member, _ = KINDS[kind]
        answer: dict[str, Any] = getattr(self.sagemaker, operation)(**{member: name})
        return answer

    def finished(self, kind: str, name: str, seconds: float = 60) -> dict[str, Any]:
        """The description of a job once it has ended."""
        status = KINDS[kind][2]
        return self.until(kind, name, lambda job: job[status] in ("Completed", "Failed", "Stopped"), seconds)

    def until(self, kind: str, name: str, condition: Any, seconds: float = 60) -> dict[str, Any]:
        """The description of a job once `condition` holds of it."""
        deadline = time.monotonic() + seconds
        while not condition(job := self.describe(kind, name)):
            assert time.monotonic() < deadline, job
            time.sleep(0.05)
        return job

    def lines(self, group: str, job: str, host: str = "algo-1") -> list[str]:
        """What a container of a job has said, the first one unless another is named."""
        try:
            answer = self.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/{host}-")
        except self.logs.exceptions.ResourceNotFoundException:  # the first job of a server makes the group
            return []
        streams = answer["logStreams"]
        if not streams:
            return []
        found: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = self.logs.get_log_events(
                logGroupName=group, logStreamName=streams[0]["logStreamName"], startFromHead=True, **token
            )
            found += [event["message"] for event in page["events"]]
            if not page["events"] or page["nextForwardToken"] == token.get("nextToken"):
                return found
            token = {"nextToken": page["nextForwardToken"]}
