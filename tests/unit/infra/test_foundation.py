"""The CloudFormation template, read as text: what no deployment to a local AWS would show."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from kennel.config import ROOT, Classifier

TEMPLATE = ROOT / "infra" / "foundation.yaml"
ROLES = ("SageMakerRole", "FunctionRole", "AirflowRole", "InstanceRole")

# Actions that have no resource level, or none before the resource exists (Service Authorization Reference).
WITHOUT_RESOURCE = {
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:DescribeScalingPolicies",
    "cloudwatch:PutMetricData",
    "ec2messages:AcknowledgeMessage",
    "ec2messages:DeleteMessage",
    "ec2messages:FailMessage",
    "ec2messages:GetEndpoint",
    "ec2messages:GetMessages",
    "ec2messages:SendReply",
    "ecr:GetAuthorizationToken",
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
    assert not [name for name, resource in resources.items() if "Policy" in resource["Type"] and name != "BucketPolicy"]
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
    }


def test_lets_the_function_invoke_its_endpoint_and_write_its_log_and_no_more(template: dict[str, Any]) -> None:
    endpoint = "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:endpoint/kennel-${Classifier}"
    assert [
        (listed(statement["Action"]), statement["Resource"]) for statement in statements(template, "FunctionRole")
    ] == [
        (["sagemaker:InvokeEndpoint"], {"Sub": endpoint}),
        (["logs:CreateLogStream", "logs:PutLogEvents"], {"GetAtt": "FunctionLogGroup.Arn"}),
    ]


@pytest.mark.parametrize("role", ROLES)
def test_lets_nothing_delete_objects(template: dict[str, Any], role: str) -> None:
    actions = {action for statement in statements(template, role) for action in listed(statement["Action"])}
    assert not {action for action in actions if action.startswith("s3:Delete")}


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
