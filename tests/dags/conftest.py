"""Operators run against the local AWS: a bucket, a role for its jobs, and a connection that signs as root."""

import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

BUCKET = "operators"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"},
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}
ALLOW = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:*", "logs:*"], "Resource": "*"}],
}


@pytest.fixture(scope="session")
def role_arn(local_aws: Any) -> str:
    iam = local_aws.client("iam")
    role = iam.create_role(RoleName="operators", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    iam.put_role_policy(RoleName="operators", PolicyName="all", PolicyDocument=json.dumps(ALLOW))
    return str(role["Arn"])


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
