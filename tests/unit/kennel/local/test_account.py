"""The local AWS as `kennel up` starts and fills it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from kennel.local import account, aws, deployment, prediction, processes
from kennel.local.aws import LocalAws
from kennel.local.errors import KennelError
from kennel.local.state import Home


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    home = Home(tmp_path_factory.mktemp("kennel"))
    started = aws.start(home)
    aws.wait(started)
    account.prepare(started)
    yield started
    service = home.services()[aws.NAME]
    processes.stop(service)
    assert not processes.members(service)


def as_operator(local: LocalAws, service: str) -> Any:
    """A client with the key that Airflow is given."""
    session = boto3.session.Session(region_name="us-east-1")
    lines = dict(line.split(" = ") for line in local.home.airflow_keys.read_text().splitlines() if " = " in line)
    return session.client(service, endpoint_url=local.url, **lines)


def test_one_that_runs_is_found_again(local: LocalAws) -> None:
    service = local.home.services()[aws.NAME]
    assert aws.start(local.home) == local == LocalAws.running(local.home)
    assert local.home.services()[aws.NAME] == service


def test_the_foundation_is_there_under_the_names_that_the_dags_use(local: LocalAws) -> None:
    local.client("s3").head_bucket(Bucket=local.names.bucket)
    for part in ("sagemaker", "lambda", "airflow"):
        role = local.client("iam").get_role(RoleName=f"kennel-dogs-{part}")["Role"]
        assert role["Arn"] == local.names.role_arn(part)
    topics = local.client("sns").list_topics()["Topics"]
    assert local.names.topic_arn in {topic["TopicArn"] for topic in topics}


def test_airflows_user_may_assume_its_role_and_nothing_else(local: LocalAws) -> None:
    assert local.home.airflow_keys.stat().st_mode & 0o777 == 0o600
    sts = as_operator(local, "sts")
    sts.assume_role(RoleArn=local.names.role_arn("airflow"), RoleSessionName="test")
    with pytest.raises(ClientError, match="AccessDenied"):
        sts.assume_role(RoleArn=local.names.role_arn("sagemaker"), RoleSessionName="test")
    with pytest.raises(ClientError, match="AccessDenied"):
        as_operator(local, "s3").list_buckets()


def test_preparing_again_changes_nothing(local: LocalAws) -> None:
    key = local.home.airflow_keys.read_text()
    stack = local.client("cloudformation").describe_stacks(StackName="kennel-dogs")["Stacks"][0]
    account.prepare(local)
    assert local.home.airflow_keys.read_text() == key
    assert local.client("cloudformation").describe_stacks(StackName="kennel-dogs")["Stacks"][0] == stack


def test_a_lost_key_is_replaced(local: LocalAws) -> None:
    local.home.airflow_keys.unlink()
    account.prepare(local)
    assert as_operator(local, "sts").get_caller_identity()["Arn"].endswith(":user/kennel-dogs-operator")
    keys = local.client("iam").list_access_keys(UserName="kennel-dogs-operator")["AccessKeyMetadata"]
    assert len(keys) == 1


def test_a_changed_template_updates_the_stack(local: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = tmp_path / "foundation.yaml"
    template.write_text(account.TEMPLATE.read_text() + "\n  Extra:\n    Value: added\n")
    monkeypatch.setattr(account, "TEMPLATE", template)
    account.deploy_foundation(local.client, local.names)
    stack = local.client("cloudformation").describe_stacks(StackName="kennel-dogs")["Stacks"][0]
    assert {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}["Extra"] == "added"
    assert stack["StackStatus"] == "UPDATE_COMPLETE"


def test_its_environment_makes_a_root_client(local: LocalAws) -> None:
    variables = local.environment
    session = boto3.session.Session(
        variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], region_name=variables["AWS_REGION"]
    )
    identity = session.client("sts", endpoint_url=variables["AWS_ENDPOINT_URL"]).get_caller_identity()
    assert identity["Account"] == variables["KENNEL_ACCOUNT_ID"]
    assert identity["Arn"].endswith(":root")


def test_nothing_is_in_service_before_a_deploy(local: LocalAws) -> None:
    assert deployment.endpoint(local) is None
    assert deployment.autoscaling(local) is None
    assert deployment.function(local) is None
    with pytest.raises(KennelError, match='No classifier is deployed yet: run "kennel demo" first'):
        prediction.ask(local, {"image": ""})
