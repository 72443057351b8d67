"""The foundation stack on the local AWS; what its roles may and may not do there is in test_rights.py."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from kennel.config import ROOT
from kennel.local.account import default_vpc
from kennel.names import Names
from tests.conftest import LocalAws

TEMPLATE = ROOT / "infra" / "foundation.yaml"
# Names of its own, since the server is shared.
CLASSIFIER = "hounds"
PATIENCE = {"Delay": 1, "MaxAttempts": 30}


def deployed(aws: LocalAws, **parameters: str) -> dict[str, str]:
    """A stack of the template; its outputs."""
    cloudformation, name = aws.client("cloudformation"), f"kennel-{parameters['Classifier']}"
    parameters["VpcId"] = default_vpc(aws.client("ec2"))
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=PATIENCE)
    [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


@contextmanager
def foundation(aws: LocalAws, **parameters: str) -> Iterator[dict[str, str]]:
    """A stack of the template, deleted again; its outputs."""
    yield deployed(aws, **parameters)
    cloudformation, name = aws.client("cloudformation"), f"kennel-{parameters['Classifier']}"
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=PATIENCE)


@pytest.fixture(scope="module")
def names(local_aws: LocalAws) -> Names:
    return Names(CLASSIFIER, local_aws.account_id, local_aws.region)


@pytest.fixture(scope="module")
def outputs(local_aws: LocalAws) -> Iterator[dict[str, str]]:
    with foundation(local_aws, Classifier=CLASSIFIER, RequireTls="false") as made:
        yield made


def credentials(keys: dict[str, str]) -> dict[str, str]:
    """An answer of STS as boto3 takes it."""
    return {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
        "aws_session_token": keys["SessionToken"],
    }


def refused(call: Callable[..., Any], **request: Any) -> str:
    """The code and message with which AWS refuses a call."""
    with pytest.raises(ClientError) as refusal:
        call(**request)
    error = refusal.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def test_makes_what_the_names_promise(outputs: dict[str, str], names: Names) -> None:
    assert outputs == {
        "Bucket": names.bucket,
        "SageMakerRoleArn": names.role_arn("sagemaker"),
        "FunctionRoleArn": names.role_arn("lambda"),
        "AirflowRoleArn": names.role_arn("airflow"),
        "InstanceProfile": f"{names.stack}-ec2",
        "FailureTopicArn": names.topic_arn,
    }


def test_bucket_is_private_encrypted_and_versioned(local_aws: LocalAws, outputs: dict[str, str]) -> None:
    s3, bucket = local_aws.client("s3"), outputs["Bucket"]
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    [rule] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def test_the_functions_log_is_kept_for_a_month(local_aws: LocalAws, outputs: dict[str, str], names: Names) -> None:
    logs = local_aws.client("logs")
    [group] = logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{names.function}")["logGroups"]
    assert group["retentionInDays"] == 30


def test_airflow_is_whoever_the_parameter_names(local_aws: LocalAws) -> None:
    principal = f"arn:aws:iam::{local_aws.account_id}:user/somebody"
    with foundation(local_aws, Classifier="poodles", AirflowPrincipalArn=principal):
        role = local_aws.client("iam").get_role(RoleName="kennel-poodles-airflow")["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"AWS": principal}


def test_failures_are_mailed_to_whom_the_parameter_names(local_aws: LocalAws) -> None:
    with foundation(local_aws, Classifier="poodles", NotificationEmail="oncall@example.com") as made:
        answer = local_aws.client("sns").list_subscriptions_by_topic(TopicArn=made["FailureTopicArn"])
    [subscription] = answer["Subscriptions"]
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "oncall@example.com")


def test_refuses_plain_http_unless_told_otherwise(local_aws: LocalAws) -> None:
    sts = local_aws.client("sts")
    with foundation(local_aws, Classifier="poodles") as made:
        keys = sts.assume_role(RoleArn=made["AirflowRoleArn"], RoleSessionName="test")["Credentials"]
        s3 = local_aws.client("s3", **credentials(keys))
        refusal = refused(s3.put_object, Bucket=made["Bucket"], Key="runs/poodles/one/report.json", Body=b"{}")
    assert "explicit deny" in refusal
