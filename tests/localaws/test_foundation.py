"""The foundation stack on the local AWS, and what its roles may and may not do there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from kennel.config import ROOT
from kennel.names import Names
from tests.conftest import LocalAws

TEMPLATE = ROOT / "infra" / "foundation.yaml"
# Names of its own, since the server is shared.
CLASSIFIER = "hounds"
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"

Client = Callable[[str, str], Any]


@contextmanager
def foundation(aws: LocalAws, **parameters: str) -> Iterator[dict[str, str]]:
    """A stack of the template, deleted again; its outputs."""
    cloudformation, name = aws.client("cloudformation"), f"kennel-{parameters['Classifier']}"
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    patience = {"Delay": 1, "MaxAttempts": 30}
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=patience)
    [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    yield {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=patience)


@pytest.fixture(scope="module")
def names(local_aws: LocalAws) -> Names:
    return Names(CLASSIFIER, local_aws.account_id, local_aws.region)


@pytest.fixture(scope="module")
def outputs(local_aws: LocalAws) -> Iterator[dict[str, str]]:
    with foundation(local_aws, Classifier=CLASSIFIER, RequireTls="false") as made:
        yield made


@pytest.fixture
def as_role(local_aws: LocalAws, outputs: dict[str, str]) -> Client:
    """A client of a service with the rights of the role that an output names."""

    def client(output: str, service: str) -> Any:
        keys = local_aws.client("sts").assume_role(RoleArn=outputs[output], RoleSessionName="test")["Credentials"]
        return local_aws.client(service, **credentials(keys))

    return client


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


def test_function_may_invoke_its_endpoint_and_nothing_else(
    local_aws: LocalAws, outputs: dict[str, str], names: Names
) -> None:
    iam = local_aws.client("iam")
    other = names.endpoint_arn.replace(names.endpoint, "kennel-cats")

    def decision(action: str, resource: str) -> str:
        answer = iam.simulate_principal_policy(
            PolicySourceArn=outputs["FunctionRoleArn"], ActionNames=[action], ResourceArns=[resource]
        )
        decided: str = answer["EvaluationResults"][0]["EvalDecision"]
        return decided

    assert decision("sagemaker:InvokeEndpoint", names.endpoint_arn) == "allowed"
    assert decision("sagemaker:InvokeEndpoint", other) == "implicitDeny"
    assert decision("sagemaker:DeleteEndpoint", names.endpoint_arn) == "implicitDeny"
    assert decision("s3:GetObject", f"arn:aws:s3:::{outputs['Bucket']}/datasets/hounds/a.jpg") == "implicitDeny"


def test_function_is_refused_another_endpoint_when_it_tries(as_role: Client) -> None:
    runtime = as_role("FunctionRoleArn", "sagemaker-runtime")
    assert "AccessDenied" in refused(runtime.invoke_endpoint, EndpointName="kennel-cats", Body=b"")


def test_jobs_read_photos_and_write_only_what_runs_make(
    local_aws: LocalAws, outputs: dict[str, str], as_role: Client
) -> None:
    bucket, photo = outputs["Bucket"], "datasets/hounds/dt=2026-11-22/train/001.Pug/a.jpg"
    local_aws.client("s3").put_object(Bucket=bucket, Key=photo, Body=b"jpeg")
    s3 = as_role("SageMakerRoleArn", "s3")
    assert s3.get_object(Bucket=bucket, Key=photo)["Body"].read() == b"jpeg"
    assert s3.list_objects_v2(Bucket=bucket, Prefix="datasets/hounds/")["KeyCount"] == 1
    s3.put_object(Bucket=bucket, Key="runs/hounds/one/model.tar.gz", Body=b"model")
    assert "AccessDenied" in refused(s3.put_object, Bucket=bucket, Key=photo, Body=b"other")
    assert "AccessDenied" in refused(s3.delete_object, Bucket=bucket, Key=photo)
    assert "AccessDenied" in refused(s3.list_objects_v2, Bucket=bucket)


def test_jobs_log_below_their_own_prefix_only(as_role: Client) -> None:
    logs = as_role("SageMakerRoleArn", "logs")
    logs.create_log_group(logGroupName="/aws/sagemaker/FoundationTest")
    logs.create_log_stream(logGroupName="/aws/sagemaker/FoundationTest", logStreamName="one")
    assert "AccessDenied" in refused(logs.create_log_group, logGroupName="/aws/lambda/other")


def test_airflow_cannot_delete_the_bucket_nor_an_object_in_it(outputs: dict[str, str], as_role: Client) -> None:
    s3, bucket = as_role("AirflowRoleArn", "s3"), outputs["Bucket"]
    s3.put_object(Bucket=bucket, Key="snapshots/hounds/one/train.manifest", Body=b"[]")
    assert "AccessDenied" in refused(s3.delete_object, Bucket=bucket, Key="snapshots/hounds/one/train.manifest")
    assert "AccessDenied" in refused(s3.delete_bucket, Bucket=bucket)


def test_airflow_works_on_its_own_classifier_only(as_role: Client, names: Names) -> None:
    sagemaker = as_role("AirflowRoleArn", "sagemaker")
    assert "Could not find" in refused(sagemaker.describe_endpoint, EndpointName=names.endpoint)
    assert "AccessDenied" in refused(sagemaker.describe_endpoint, EndpointName="kennel-cats")
    assert "AccessDenied" in refused(sagemaker.stop_training_job, TrainingJobName="cats-20261122t030000-3fa9c1-train")


def test_airflow_passes_sagemaker_the_jobs_role_only(outputs: dict[str, str], as_role: Client, names: Names) -> None:
    sagemaker, model = as_role("AirflowRoleArn", "sagemaker"), f"{names.classifier}-20261122t030000-3fa9c1"
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{outputs['Bucket']}/runs/hounds/one/model.tar.gz"}
    request = {"ModelName": model, "PrimaryContainer": container}
    refusal = refused(sagemaker.create_model, **request, ExecutionRoleArn=outputs["FunctionRoleArn"])
    assert "iam:PassRole" in refusal
    sagemaker.create_model(**request, ExecutionRoleArn=outputs["SageMakerRoleArn"])
    sagemaker.delete_model(ModelName=model)
    assert "sagemaker:DeleteModel" in refused(sagemaker.delete_model, ModelName="cats-20261122t030000-3fa9c1")


def test_airflow_announces_failures_and_leaves_logs_alone(
    local_aws: LocalAws, outputs: dict[str, str], as_role: Client, names: Names
) -> None:
    as_role("AirflowRoleArn", "sns").publish(TopicArn=outputs["FailureTopicArn"], Message="retrain.train failed")
    group_name = f"/aws/lambda/{names.function}"
    refusal = refused(as_role("AirflowRoleArn", "logs").describe_log_streams, logGroupName=group_name)
    assert "logs:DescribeLogStreams" in refusal
    [group] = local_aws.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{names.function}")[
        "logGroups"
    ]
    assert group["retentionInDays"] == 30


def test_airflow_ends_and_commands_instances_of_its_own_classifier_only(
    local_aws: LocalAws, as_role: Client, names: Names
) -> None:
    ec2, ssm = local_aws.client("ec2"), local_aws.client("ssm")
    parameter = "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.6-ubuntu-22.04/latest/ami-id"
    request = {
        "ImageId": ssm.get_parameter(Name=parameter)["Parameter"]["Value"],
        "InstanceType": "m5.xlarge",
        "MinCount": 1,
        "MaxCount": 1,
    }
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "kennel:classifier", "Value": "cats"}]}]
    [theirs] = ec2.run_instances(**request, TagSpecifications=tags, IamInstanceProfile={"Name": names.ec2})["Instances"]
    mine = as_role("AirflowRoleArn", "ec2")
    untagged = refused(mine.run_instances, **request, MetadataOptions={"HttpTokens": "required"})
    assert "UnauthorizedOperation" in untagged
    found = [theirs["InstanceId"]]
    assert "ec2:TerminateInstances" in refused(mine.terminate_instances, InstanceIds=found)
    command = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}}
    send = as_role("AirflowRoleArn", "ssm").send_command
    assert "ssm:SendCommand" in refused(send, InstanceIds=found, **command)
    ec2.terminate_instances(InstanceIds=found)


def test_an_instance_reads_what_it_trains_on_and_writes_models_only(
    local_aws: LocalAws, outputs: dict[str, str], names: Names
) -> None:
    iam, bucket = local_aws.client("iam"), f"arn:aws:s3:::{outputs['Bucket']}"

    def decision(action: str, key: str) -> str:
        answer = iam.simulate_principal_policy(
            PolicySourceArn=names.role_arn("ec2"), ActionNames=[action], ResourceArns=[f"{bucket}/{key}"]
        )
        decided: str = answer["EvaluationResults"][0]["EvalDecision"]
        return decided

    read = ("code", "weights", "embeddings", "snapshots", "datasets")  # the last two to fine-tune on
    allowed = [decision("s3:GetObject", f"{folder}/x") for folder in read]
    allowed.append(decision("s3:PutObject", "runs/hounds/one/training/job/output/model.tar.gz"))
    assert set(allowed) == {"allowed"}
    denied = [decision("s3:GetObject", f"{folder}/x") for folder in ("runs", "anything")]
    denied += [decision("s3:PutObject", key) for key in ("code/x", "runs/hounds/one/report/report.json", "runs/cats/x")]
    assert set(denied) == {"implicitDeny"}


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
