"""What MiniStack authorises by the wrong action or resource is authorised as AWS would."""

import base64
import io
import json
import re
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from tests.localaws.hosting import eventually

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture
def client_with(local_aws: Any) -> Any:
    """A client of a user whose only rights are these actions on these resources."""

    def make(service: str, actions: list[str], resources: list[str]) -> Any:
        iam, user = local_aws.client("iam"), f"user-{uuid.uuid4().hex[:8]}"
        statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
        iam.create_user(UserName=user)
        iam.put_user_policy(
            UserName=user,
            PolicyName="one",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )
        key = iam.create_access_key(UserName=user)["AccessKey"]
        return local_aws.client(
            service, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
        )

    return make


@pytest.fixture
def lambda_with(client_with: Any) -> Any:
    """A Lambda client that may do these actions on a function of this name, and pass roles of such names."""

    def make(name: str, *actions: str) -> Any:
        arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
        role = f"arn:aws:iam::000000000000:role/{name}*"
        return client_with("lambda", [*actions, "iam:PassRole"], [arn, f"{arn}:*", role])

    return make


def function(local_aws: Any, name: str, source: str = "def h(event, context):\n    return 1\n") -> dict[str, Any]:
    """A CreateFunction request."""
    role = local_aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as file:
        file.writestr("f.py", source)
    return {
        "FunctionName": name,
        "Role": role["Arn"],
        "Runtime": "python3.12",
        "Handler": "f.h",
        "Code": {"ZipFile": code.getvalue()},
    }


def test_creating_a_function_is_a_right_on_that_function(local_aws: Any, lambda_with: Any) -> None:
    name = f"f-{uuid.uuid4().hex[:8]}"
    client = lambda_with(name, "lambda:CreateFunction")
    client.create_function(**function(local_aws, name))
    with pytest.raises(botocore.exceptions.ClientError, match="not authorized"):
        client.create_function(**function(local_aws, f"{name}-other"))


def test_handing_a_function_a_role_is_a_right_on_that_role(local_aws: Any, client_with: Any, lambda_with: Any) -> None:
    name = f"f-{uuid.uuid4().hex[:8]}"
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    client = client_with("lambda", ["lambda:CreateFunction"], [arn])
    refusal = f"not authorized to perform: iam:PassRole on resource: arn:aws:iam::000000000000:role/{name}"
    with pytest.raises(botocore.exceptions.ClientError, match=refusal):
        client.create_function(**function(local_aws, name))
    updates = lambda_with(name, "lambda:UpdateFunctionConfiguration")
    with pytest.raises(botocore.exceptions.ClientError, match=r"iam:PassRole on resource: .*:role/another"):
        updates.update_function_configuration(FunctionName=name, Role="arn:aws:iam::000000000000:role/another")


def test_a_call_of_an_alias_is_a_right_on_the_alias(local_aws: Any, client_with: Any) -> None:
    name = f"f-{uuid.uuid4().hex[:8]}"
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    client = client_with("lambda", ["lambda:InvokeFunction"], [f"{arn}:live"])
    with pytest.raises(botocore.exceptions.ClientError, match="ResourceNotFoundException"):
        client.invoke(FunctionName=name, Qualifier="live")
    for qualifier in ({}, {"Qualifier": "1"}):
        with pytest.raises(botocore.exceptions.ClientError, match="not authorized to perform: lambda:InvokeFunction"):
            client.invoke(FunctionName=name, **qualifier)


@pytest.mark.parametrize(
    ("action", "call"),
    [
        ("GetAlias", lambda client, name: client.get_alias(FunctionName=name, Name="live")),
        ("UpdateAlias", lambda client, name: client.update_alias(FunctionName=name, Name="live", Description="x")),
        ("InvokeFunction", lambda client, name: client.invoke(FunctionName=name, Qualifier="live")),
        (
            "PutProvisionedConcurrencyConfig",
            lambda client, name: client.put_provisioned_concurrency_config(
                FunctionName=name, Qualifier="live", ProvisionedConcurrentExecutions=1
            ),
        ),
        ("GetFunctionConcurrency", lambda client, name: client.get_function_concurrency(FunctionName=name)),
    ],
)
def test_an_operation_needs_the_right_of_its_own_name(local_aws: Any, lambda_with: Any, action: str, call: Any) -> None:
    name, root = f"f-{uuid.uuid4().hex[:8]}", local_aws.client("lambda")
    root.create_function(**function(local_aws, name))
    root.get_waiter("function_active_v2").wait(FunctionName=name)
    root.create_alias(
        FunctionName=name, Name="live", FunctionVersion=root.publish_version(FunctionName=name)["Version"]
    )
    call(lambda_with(name, f"lambda:{action}"), name)
    with pytest.raises(botocore.exceptions.ClientError, match=f"not authorized to perform: lambda:{action}"):
        call(lambda_with(name, "lambda:GetFunction"), name)


def test_simulating_a_principals_policy_is_a_right_on_that_principal(local_aws: Any, client_with: Any) -> None:
    roles = [
        local_aws.client("iam").create_role(
            RoleName=f"r-{uuid.uuid4().hex[:8]}", AssumeRolePolicyDocument=json.dumps(TRUST)
        )
        for _ in range(2)
    ]
    mine, other = (role["Role"]["Arn"] for role in roles)
    iam = client_with("iam", ["iam:SimulatePrincipalPolicy"], [mine])
    answer = iam.simulate_principal_policy(PolicySourceArn=mine, ActionNames=["s3:GetObject"])
    assert answer["EvaluationResults"][0]["EvalDecision"] == "implicitDeny"
    with pytest.raises(botocore.exceptions.ClientError, match="not authorized"):
        iam.simulate_principal_policy(PolicySourceArn=other, ActionNames=["s3:GetObject"])


def test_alarms_are_resources_of_their_own(client_with: Any) -> None:
    mine = f"mine-{uuid.uuid4().hex[:8]}"
    arn = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:"
    alarm = {"EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold", "Threshold": 1.0}
    metric = {"Namespace": "N", "MetricName": "M", "Statistic": "Sum", "Period": 60}
    keeper = client_with("cloudwatch", ["cloudwatch:PutMetricAlarm"], [f"{arn}{mine}"])
    keeper.put_metric_alarm(AlarmName=mine, **alarm, **metric)
    with pytest.raises(botocore.exceptions.ClientError, match="not authorized"):
        keeper.put_metric_alarm(AlarmName="another", **alarm, **metric)
    seer = client_with("cloudwatch", ["cloudwatch:DescribeAlarms"], [f"{arn}*"])
    assert [found["AlarmName"] for found in seer.describe_alarms(AlarmNames=[mine])["MetricAlarms"]] == [mine]
    with pytest.raises(botocore.exceptions.ClientError, match="not authorized"):
        keeper.describe_alarms(AlarmNames=[mine])


def test_encrypts_with_the_accounts_own_key_where_none_is_named(local_aws: Any) -> None:
    s3, bucket = local_aws.client("s3"), f"bucket-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="secret", Body=b"x", ServerSideEncryption="aws:kms")
    head = s3.head_object(Bucket=bucket, Key="secret")
    assert head["ServerSideEncryption"] == "aws:kms"
    assert head["SSEKMSKeyId"] == "arn:aws:kms:us-east-1:000000000000:alias/aws/s3"


def test_has_the_policy_that_notebooks_are_given(local_aws: Any) -> None:
    iam, name = local_aws.client("iam"), f"r-{uuid.uuid4().hex[:8]}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")

    def decision(action: str, resource: str) -> str:
        answer = iam.simulate_principal_policy(PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource])
        return str(answer["EvaluationResults"][0]["EvalDecision"])

    assert decision("s3:GetObject", "arn:aws:s3:::my-sagemaker-bucket/key") == "allowed"
    assert decision("s3:GetObject", "arn:aws:s3:::another-bucket/key") == "implicitDeny"
    assert decision("sagemaker:InvokeEndpoint", "arn:aws:sagemaker:us-east-1:000000000000:endpoint/x") == "allowed"
    assert decision("iam:CreateUser", "*") == "implicitDeny"


def test_a_functions_log_has_what_its_loggers_say(local_aws: Any) -> None:
    name, client = f"f-{uuid.uuid4().hex[:8]}", local_aws.client("lambda")
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as file:
        lines = ["import logging", "logging.getLogger().setLevel('INFO')", "def h(event, context):"]
        lines += [
            "    logging.getLogger(__name__).info('saw %s', event)",
            "    logging.debug('unseen')",
            "    return context.aws_request_id",
        ]
        file.writestr("f.py", "\n".join(lines))
    client.create_function(**function(local_aws, name) | {"Code": {"ZipFile": code.getvalue()}})
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    for word in ("one", "two"):
        answer = client.invoke(FunctionName=name, Payload=json.dumps(word), LogType="Tail")
        log = base64.b64decode(answer["LogResult"]).decode()
        request_id = json.loads(answer["Payload"].read())
        assert re.search(rf"^\[INFO\]\t[-\d]+T[:\d]+\.\d+Z\t{request_id}\tsaw {word}$", log, re.MULTILINE), log
        assert "unseen" not in log


def test_alarms_are_described_by_whoever_may_describe_all_of_the_account(client_with: Any) -> None:
    arn = "arn:aws:cloudwatch:us-east-1:000000000000:alarm"
    allowed = client_with("cloudwatch", ["cloudwatch:DescribeAlarms"], [f"{arn}:*"])
    assert allowed.describe_alarms(AlarmNames=["none"])["MetricAlarms"] == []
    with pytest.raises(botocore.exceptions.ClientError, match="not authorized"):
        client_with("cloudwatch", ["cloudwatch:DescribeAlarms"], [f"{arn}:other"]).describe_alarms()


def test_a_silent_functions_log_has_a_tail(local_aws: Any) -> None:
    name, client = f"f-{uuid.uuid4().hex[:8]}", local_aws.client("lambda")
    client.create_function(**function(local_aws, name))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    tail = base64.b64decode(client.invoke(FunctionName=name, LogType="Tail")["LogResult"]).decode()
    assert re.match(r"START RequestId: \S+ Version: \$LATEST\nEND RequestId: ", tail)
    assert "LogResult" not in client.invoke(FunctionName=name)


def test_reading_a_log_stream_is_a_right_on_that_stream(local_aws: Any, client_with: Any) -> None:
    group, logs = f"/group/{uuid.uuid4().hex[:8]}", local_aws.client("logs")
    logs.create_log_group(logGroupName=group)
    for stream in ("mine", "other"):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    arn = f"arn:aws:logs:us-east-1:000000000000:log-group:{group}:log-stream:mine"
    reader = client_with("logs", ["logs:GetLogEvents"], [arn])
    assert reader.get_log_events(logGroupName=group, logStreamName="mine")["events"] == []
    with pytest.raises(botocore.exceptions.ClientError, match="log-stream:other"):
        reader.get_log_events(logGroupName=group, logStreamName="other")


def test_a_public_parameter_belongs_to_no_account(client_with: Any) -> None:
    name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    ours = client_with("ssm", ["ssm:GetParameter"], ["arn:aws:ssm:us-east-1:000000000000:parameter/aws/service/*"])
    with pytest.raises(botocore.exceptions.ClientError, match=f"ssm:us-east-1::parameter{name}"):
        ours.get_parameter(Name=name)
    theirs = client_with("ssm", ["ssm:GetParameter"], ["arn:aws:ssm:us-east-1::parameter/aws/service/*"])
    assert theirs.get_parameter(Name=name)["Parameter"]["Value"].startswith("ami-")


# Says that it runs, and goes on until it is told to end.
HELD = """
import pathlib, time

def h(event, context):
    pathlib.Path(event["runs"]).touch()
    while not pathlib.Path(event["ends"]).exists():
        time.sleep(0.01)
"""


def test_an_alias_has_the_concurrency_its_function_was_reserved_since(local_aws: Any, tmp_path: Path) -> None:
    name, client = f"f-{uuid.uuid4().hex[:8]}", local_aws.client("lambda")
    version = client.create_function(**function(local_aws, name, HELD), Timeout=60, Publish=True)["Version"]
    client.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    event = json.dumps({"runs": str(tmp_path / "runs"), "ends": str(tmp_path / "ends")})
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.invoke, FunctionName=name, Qualifier="live", Payload=event)
        eventually((tmp_path / "runs").exists)
        with pytest.raises(client.exceptions.TooManyRequestsException) as refused:
            client.invoke(FunctionName=name, Qualifier="live", Payload=event)
        (tmp_path / "ends").touch()
        assert "FunctionError" not in first.result()
    assert refused.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert "FunctionError" not in client.invoke(FunctionName=name, Qualifier="live", Payload=event)
