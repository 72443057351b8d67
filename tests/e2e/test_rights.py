"""IAM is on during all of it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

ROLE = {"RoleName": "kennel-dogs-airflow", "PolicyName": "jobs"}


@pytest.fixture
def client(kennel: Any, demo: dict[str, Any]) -> Callable[[str], Any]:
    """Clients of the demo's local AWS, as root."""
    variables = dict(line.split("=", 1) for line in kennel.run("env").stdout.splitlines())
    return lambda service: boto3.client(
        service,
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture
def without_jobs(client: Callable[[str], Any]) -> Iterator[None]:
    """Airflow's role without its statement about SageMaker's jobs."""
    iam = client("iam")
    whole = iam.get_role_policy(**ROLE)["PolicyDocument"]
    less = {**whole, "Statement": [part for part in whole["Statement"] if part["Sid"] != "RunJobs"]}
    assert len(less["Statement"]) == len(whole["Statement"]) - 1
    iam.put_role_policy(**ROLE, PolicyDocument=json.dumps(less))
    yield
    iam.put_role_policy(**ROLE, PolicyDocument=json.dumps(whole))


@pytest.fixture
def heard(client: Callable[[str], Any]) -> Callable[[], str]:
    """What the failure topic has told a subscriber."""
    topic, arn = "arn:aws:sns:us-east-1:000000000000:kennel-dogs-failures", "arn:aws:sqs:us-east-1:000000000000:on-call"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    queue = client("sqs").create_queue(QueueName="on-call", Attributes={"Policy": policy})["QueueUrl"]
    client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    def read() -> str:
        found = client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=10)
        return str(json.loads(found["Messages"][0]["Body"])["Message"])

    return read


def test_a_run_without_one_statement_fails_with_access_denied_and_is_announced(
    kennel: Any, without_jobs: None, heard: Callable[[], str]
) -> None:
    done = kennel.run("demo", "--data", str(kennel.home / "data" / "sketch"))
    assert done.returncode == 1
    assert "AccessDenied" in done.stderr
    assert "kennel-dogs-airflow" in done.stderr
    assert "sagemaker:DescribeProcessingJob" in done.stderr
    assert done.stderr.endswith('kennel: retrain.embed failed; see all of its log with "kennel logs retrain.embed".\n')
    message = heard()
    assert "retrain.embed has failed for good" in message
    assert "AccessDenied" in message
