"""Operators run against the local AWS: a bucket, a role for its jobs, and a connection that signs as root."""

import io
import json
import tarfile
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from kennel.operators.hosting import ServingRecordsOperator
from tests.dags.hosting import IMAGE, NO_CONTEXT, archive, make_role

BUCKET = "operators"


@pytest.fixture(scope="session")
def role_arn(local_aws: Any) -> str:
    return make_role(local_aws)


@pytest.fixture(scope="session")
def bucket(local_aws: Any) -> str:
    local_aws.client("s3").create_bucket(Bucket=BUCKET)
    return BUCKET


@pytest.fixture(autouse=True)
def connection(local_aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`aws_default` as the environment gives it, and the environment as `local_aws` gives it."""
    for name, value in local_aws.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws"}))


@pytest.fixture
def upload_script(local_aws: Any, bucket: str) -> Callable[[str], str]:
    """Publish a training script; gives the s3:// URI of its sourcedir.tar.gz."""

    def upload(source: str) -> str:
        body = io.BytesIO()
        with tarfile.open(fileobj=body, mode="w:gz") as tar:
            info = tarfile.TarInfo("train.py")
            info.size = len(source)
            tar.addfile(info, io.BytesIO(source.encode()))
        key = f"code/{abs(hash(source))}/sourcedir.tar.gz"
        local_aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body.getvalue())
        return f"s3://{bucket}/{key}"

    return upload


@pytest.fixture
def name() -> str:
    """For an endpoint of the test's own: the server is shared."""
    return f"host-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def config(local_aws: Any, bucket: str, role_arn: str) -> Callable[..., str]:
    """Make a model and an endpoint config of a name, whose inference.py is the source."""

    def make(name: str, source: str, instance_type: str = "ml.m5.large") -> str:
        local_aws.client("s3").put_object(Bucket=bucket, Key=f"{name}/model.tar.gz", Body=archive(source))
        container = {"Image": IMAGE, "ModelDataUrl": f"s3://{bucket}/{name}/model.tar.gz"}
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": name,
            "InstanceType": instance_type,
            "InitialInstanceCount": 1,
        }
        ServingRecordsOperator(
            task_id="create_model",
            model={"ModelName": name, "ExecutionRoleArn": role_arn, "PrimaryContainer": container},
            configs=[{"EndpointConfigName": name, "ProductionVariants": [variant]}],
        ).execute(NO_CONTEXT)
        return name

    return make
