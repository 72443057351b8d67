"""The CloudFormation template, read as text: what no deployment to a local AWS would show."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from kennel import teardown
from kennel.config import ROOT, Classifier

TEMPLATE = ROOT / "infra" / "foundation.yaml"
ROLES = ("SageMakerRole", "FunctionRole", "AirflowRole", "InstanceRole")

# Actions that have no resource level, or none before the resource exists (Service Authorization Reference).
WITHOUT_RESOURCE = {
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:DescribeScalingPolicies",
    "cloudwatch:PutMetricData",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "ec2:DescribeSecurityGroups",
    "ec2messages:AcknowledgeMessage",
    "ec2messages:DeleteMessage",
    "ec2messages:FailMessage",
    "ec2messages:GetEndpoint",
    "ec2messages:GetMessages",
    "ec2messages:SendReply",
    "ecr:GetAuthorizationToken",
    "sagemaker:ListEndpointConfigs",
    "sagemaker:ListModels",
    "servicequotas:GetServiceQuota",
    "ssm:DescribeInstanceInformation",
    "ssm:GetCommandInvocation",
    "ssm:ListCommandInvocations",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}

Statement = dict[str, Any]


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags: `!GetAtt A.B` becomes `{"GetAtt": "A.B"}`."""


def tagged(loader: Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    assert isinstance(node, yaml.SequenceNode)
    return {name: loader.construct_sequence(node, deep=True)}


Loader.add_multi_constructor("!", tagged)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(TEMPLATE.read_text(), Loader)
    return loaded


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(template: dict[str, Any], role: str) -> Iterator[Statement]:
    for policy in template["Resources"][role]["Properties"]["Policies"]:
        yield from policy["PolicyDocument"]["Statement"]


def test_every_role_of_the_template_is_looked_at(template: dict[str, Any]) -> None:
    resources = template["Resources"]
    assert {name for name, resource in resources.items() if resource["Type"] == "AWS::IAM::Role"} == set(ROLES)
    policies = {resource["Type"] for resource in resources.values() if "Policy" in resource["Type"]}
    assert policies == {"AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy"}  # of what is reached, not of who reaches it
    assert not [role for role in ROLES if "ManagedPolicyArns" in resources[role]["Properties"]]


@pytest.mark.parametrize("role", ROLES)
def test_names_each_action_in_full(template: dict[str, Any], role: str) -> None:
    for statement in statements(template, role):
        assert statement["Effect"] == "Allow"
        assert not {"NotAction", "NotResource"} & set(statement)
        for action in listed(statement["Action"]):
            assert re.fullmatch(r"[a-z0-9-]+:[A-Za-z]+", action)


@pytest.mark.parametrize("role", ROLES)
def test_names_a_resource_wherever_the_api_has_one(template: dict[str, Any], role: str) -> None:
    for statement in statements(template, role):
        resources = listed(statement["Resource"])
        assert resources, statement["Sid"]
        if "*" in resources:
            assert set(listed(statement["Action"])) <= WITHOUT_RESOURCE, statement["Sid"]
        else:
            assert not WITHOUT_RESOURCE & set(listed(statement["Action"])), statement["Sid"]
        arns = [resource["Sub"] for resource in resources if isinstance(resource, dict) and "Sub" in resource]
        for arn in arns:
            assert arn.startswith(("arn:${AWS::Partition}:", "${Bucket.Arn}/")), arn


def test_passes_each_role_to_its_own_service_only(template: dict[str, Any]) -> None:
    passed = {
        statement["Resource"]["GetAtt"]: statement["Condition"]
        for role in ROLES
        for statement in statements(template, role)
        if "iam:PassRole" in listed(statement["Action"])
    }
    assert passed == {
        "SageMakerRole.Arn": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        "FunctionRole.Arn": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}},
        "InstanceRole.Arn": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
    }


def test_lets_the_function_invoke_its_endpoint_and_write_its_log_and_no_more(template: dict[str, Any]) -> None:
    endpoint = "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:endpoint/kennel-${Classifier}"
    assert [
        (listed(statement["Action"]), statement["Resource"]) for statement in statements(template, "FunctionRole")
    ] == [
        (["sagemaker:InvokeEndpoint"], {"Sub": endpoint}),
        (["logs:CreateLogStream", "logs:PutLogEvents"], {"GetAtt": "FunctionLogGroup.Arn"}),
    ]


def written_out(value: Any) -> Any:
    """A policy as it is in an account, every name as long as it may be."""
    longest = {"AWS::Partition": "aws", "AWS::Region": "ap-southeast-2", "AWS::AccountId": "1" * 12}
    if isinstance(value, list):
        return [written_out(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "Sub" in value:
        return re.sub(r"\$\{([^}]+)\}", lambda found: longest.get(found[1], "x" * 20), value["Sub"])
    if value.keys() & {"GetAtt", "Ref"}:
        return "x" * 60
    return {key: written_out(item) for key, item in value.items()}


@pytest.mark.parametrize("role", ROLES)
def test_fits_what_iam_takes_of_a_roles_inline_policies(template: dict[str, Any], role: str) -> None:
    policies = [policy["PolicyDocument"] for policy in template["Resources"][role]["Properties"]["Policies"]]
    assert sum(len(json.dumps(written_out(policy), separators=(",", ":"))) for policy in policies) <= 10_240


def test_lets_nothing_into_an_instance_and_only_https_out(template: dict[str, Any]) -> None:
    group = template["Resources"]["InstanceGroup"]["Properties"]
    assert "SecurityGroupIngress" not in group
    assert [(rule["FromPort"], rule["ToPort"]) for rule in group["SecurityGroupEgress"]] == [(443, 443)]
    assert not [name for name, made in template["Resources"].items() if made["Type"].endswith("SecurityGroupIngress")]


def test_lets_only_the_teardown_delete_objects_and_no_logs(template: dict[str, Any]) -> None:
    deleting = [
        (role, statement)
        for role in ROLES
        for statement in statements(template, role)
        if any(action.startswith("s3:Delete") for action in listed(statement["Action"]))
    ]
    [(role, statement)] = deleting
    assert (role, statement["Sid"], statement["Action"]) == ("AirflowRole", "DeleteVersions", "s3:DeleteObjectVersion")
    assert {resource["Sub"] for resource in statement["Resource"]} == {
        f"${{Bucket.Arn}}/{prefix}*" for prefix in (*teardown.MODELS, *teardown.DATA)
    }


def test_keeps_the_bucket_private_encrypted_and_versioned(template: dict[str, Any]) -> None:
    bucket = template["Resources"]["Bucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["BucketEncryption"] and bucket["VersioningConfiguration"] == {"Status": "Enabled"}


def test_expires_nothing_that_a_run_made(template: dict[str, Any]) -> None:
    rules = template["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert [rule["Prefix"] for rule in rules if "ExpirationInDays" in rule] == ["logs/"]
    assert [rule["Prefix"] for rule in rules if "Transitions" in rule] == ["runs/"]


def test_requires_tls_unless_told_otherwise(template: dict[str, Any]) -> None:
    assert template["Parameters"]["RequireTls"]["Default"] == "true"
    [statement] = template["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [{"GetAtt": "Bucket.Arn"}, {"Sub": "${Bucket.Arn}/*"}]


def test_takes_the_same_classifier_names_as_the_configuration(template: dict[str, Any]) -> None:
    [constraint] = Classifier.model_fields["name"].metadata
    assert constraint.pattern == f"^{template['Parameters']['Classifier']['AllowedPattern']}$"
