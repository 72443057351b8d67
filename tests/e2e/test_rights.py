"""IAM is on during all of it."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

ROLE = {"RoleName": "kennel-dogs-airflow", "PolicyName": "jobs"}


@pytest.fixture
def without_jobs(kennel: Any, demo: dict[str, Any]) -> Iterator[None]:
    """Airflow's role without its statement about SageMaker's jobs."""
    variables = dict(line.split("=", 1) for line in kennel.run("env").stdout.splitlines())
    iam = boto3.client(
        "iam",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )
    whole = iam.get_role_policy(**ROLE)["PolicyDocument"]
    less = {**whole, "Statement": [part for part in whole["Statement"] if part["Sid"] != "RunJobs"]}
    assert len(less["Statement"]) == len(whole["Statement"]) - 1
    iam.put_role_policy(**ROLE, PolicyDocument=json.dumps(less))
    yield
    iam.put_role_policy(**ROLE, PolicyDocument=json.dumps(whole))


def test_a_run_without_one_statement_fails_with_access_denied(kennel: Any, without_jobs: None) -> None:
    done = kennel.run("demo")
    assert done.returncode == 1
    assert "AccessDenied" in done.stderr
    assert "kennel-dogs-airflow" in done.stderr
    assert "sagemaker:DescribeProcessingJob" in done.stderr
    assert done.stderr.endswith('kennel: retrain.embed failed; see all of its log with "kennel logs retrain.embed".\n')
