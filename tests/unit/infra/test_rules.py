"""The template keeps to every rule, and every rule finds the template that does not."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.unit.infra import rules
from tests.unit.infra.rules import RULES, Rule
from tests.unit.infra.template import Statement, Template, load, of_type, statements

WHOLE = load()
STATEMENTS = dict(statements(WHOLE))
RIGHTS = [place for place, statement in STATEMENTS.items() if "Principal" not in statement]
TRUSTS = [place for place, statement in STATEMENTS.items() if statement.get("Action") == "sts:AssumeRole"]
BUCKET_RULES = {
    rules.encrypts_buckets,
    rules.keeps_versions,
    rules.blocks_public_access,
    rules.leaves_no_object_to_its_uploader,
    rules.refuses_plain_http,
}


@pytest.fixture
def template() -> Template:
    return deepcopy(WHOLE)


def broken(template: Template, place: str) -> set[Rule]:
    """The rules that a place does not keep to."""
    return {rule for rule in RULES if place in rule(template)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_template_keeps_to(rule: Rule) -> None:
    assert list(rule(WHOLE)) == []


@pytest.mark.parametrize(
    ("kind", "lost", "rule"),
    [
        ("S3::Bucket", "BucketEncryption", rules.encrypts_buckets),
        ("S3::Bucket", "VersioningConfiguration", rules.keeps_versions),
        ("S3::Bucket", "PublicAccessBlockConfiguration", rules.blocks_public_access),
        ("S3::Bucket", "OwnershipControls", rules.leaves_no_object_to_its_uploader),
        ("Logs::LogGroup", "RetentionInDays", rules.ends_logs),
        ("SNS::Topic", "KmsMasterKeyId", rules.encrypts_topics),
        ("EC2::SecurityGroup", "SecurityGroupEgress", rules.lets_nobody_in),
        ("IAM::Role", "AssumeRolePolicyDocument", rules.trusts_one_service_per_role),
    ],
)
def test_finds_a_resource_that_lost_a_property(template: Template, kind: str, lost: str, rule: Rule) -> None:
    resources = {name: found for name, found in of_type(template, kind) if name not in rules.NOT_OF_A_SERVICE}
    assert resources
    for name, properties in resources.items():
        kept = properties.pop(lost)
        assert broken(template, name) == {rule}, name
        properties[lost] = kept


@pytest.mark.parametrize("block", WHOLE["Resources"]["Bucket"]["Properties"]["PublicAccessBlockConfiguration"])
def test_finds_a_bucket_with_one_way_to_the_public_open(template: Template, block: str) -> None:
    template["Resources"]["Bucket"]["Properties"]["PublicAccessBlockConfiguration"][block] = False
    assert broken(template, "Bucket") == {rules.blocks_public_access}


@pytest.mark.parametrize(
    ("kind", "found_by"),
    [
        ("S3::Bucket", BUCKET_RULES),
        ("Logs::LogGroup", {rules.ends_logs}),
        ("SNS::Topic", {rules.encrypts_topics}),
        ("EC2::SecurityGroup", {rules.lets_nobody_in}),
        ("IAM::Role", {rules.trusts_one_service_per_role}),
        ("IAM::User", {rules.has_only_types_that_have_rules}),
        ("EC2::SecurityGroupIngress", {rules.has_only_types_that_have_rules}),
        ("SQS::Queue", {rules.has_only_types_that_have_rules}),
    ],
)
def test_finds_a_new_resource_with_nothing_said_of_it(template: Template, kind: str, found_by: set[Rule]) -> None:
    template["Resources"]["New"] = {"Type": f"AWS::{kind}"}
    assert broken(template, "New") == found_by


def allow(statement: Statement) -> None:
    statement["Effect"] = "Allow"


@pytest.mark.parametrize(
    "change",
    [
        allow,
        lambda statement: statement.update(Action="s3:PutObject"),
        lambda statement: statement.update(Principal={"AWS": "arn:aws:iam::000000000000:root"}),
        lambda statement: statement["Resource"].pop(),
        lambda statement: statement["Condition"]["Bool"].update({"aws:SecureTransport": "true"}),
        lambda statement: statement["Condition"].update(StringEquals={"aws:PrincipalTag/plain": "no"}),
        lambda statement: statement.pop("Condition"),
    ],
)
def test_finds_a_bucket_that_some_may_reach_by_plain_http(
    template: Template, change: Callable[[Statement], None]
) -> None:
    [[_, statement]] = statements(template["Resources"]["BucketPolicy"])
    change(statement)
    assert broken(template, "Bucket") == {rules.refuses_plain_http}


def test_finds_a_bucket_whose_policy_depends_on_something_else(template: Template) -> None:
    template["Resources"]["BucketPolicy"]["Condition"] = "EmailGiven"
    assert broken(template, "Bucket") == {rules.refuses_plain_http}
    del template["Resources"]["BucketPolicy"]
    assert broken(template, "Bucket") == {rules.refuses_plain_http}


@pytest.mark.parametrize(
    "rule",
    [
        {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"},
        {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "CidrIp": "0.0.0.0/0"},
        {"IpProtocol": "udp", "FromPort": 443, "ToPort": 443, "CidrIp": "0.0.0.0/0"},
    ],
)
def test_finds_a_machine_that_may_talk_to_anything_or_be_talked_to(template: Template, rule: dict[str, Any]) -> None:
    group = template["Resources"]["InstanceGroup"]["Properties"]
    group["SecurityGroupEgress"].append(rule)
    assert broken(template, "InstanceGroup") == {rules.lets_nobody_in}
    group["SecurityGroupEgress"].pop()
    group["SecurityGroupIngress"] = [rule]
    assert broken(template, "InstanceGroup") == {rules.lets_nobody_in}


def with_action(statement: Statement, action: str) -> None:
    kept = statement["Action"]
    statement["Action"] = [*(kept if isinstance(kept, list) else [kept]), action]


@pytest.mark.parametrize("place", RIGHTS)
def test_finds_a_star_in_any_right(template: Template, place: str) -> None:
    [found] = [statement for at, statement in statements(template) if at == place]
    kept = deepcopy(found)
    actions = kept["Action"] if isinstance(kept["Action"], list) else [kept["Action"]]
    for action in (
        "*",
        "*:*",
        "iam:*",
        *(f"{action}*" for action in actions),
        *(action[:-1] + "?" for action in actions),
    ):
        with_action(found, action)
        assert rules.names_each_action_in_full in broken(template, place), action
        found["Action"] = kept["Action"]
    anything = [
        "*",
        ["*"],
        "arn:aws:s3:::*",
        {"Sub": "arn:${AWS::Partition}:s3:::*"},
        {"Sub": "arn:${AWS::Partition}:iam::*:role/x"},
    ]
    for resource in anything if kept["Resource"] != "*" else [["*", "*"], {"Ref": "Bucket"}]:
        found["Resource"] = resource
        assert rules.names_a_resource_wherever_there_is_one in broken(template, place), resource
    found["Resource"] = kept["Resource"]
    assert broken(template, place) == set()


@pytest.mark.parametrize("place", RIGHTS)
@pytest.mark.parametrize("negation", ["NotAction", "NotResource"])
def test_finds_a_right_to_all_but_something(template: Template, place: str, negation: str) -> None:
    [found] = [statement for at, statement in statements(template) if at == place]
    found[negation] = found.pop(negation.removeprefix("Not"))
    assert rules.says_what_not_what_else in broken(template, place)


@pytest.mark.parametrize("place", TRUSTS)
@pytest.mark.parametrize(
    "principal", ["*", {"AWS": "*"}, {"AWS": ["arn:aws:iam::000000000000:root", "*"]}, {"Service": "*"}]
)
def test_finds_a_role_that_anybody_may_assume(template: Template, place: str, principal: Any) -> None:
    [found] = [statement for at, statement in statements(template) if at == place]
    found["Principal"] = principal
    assert rules.trusts_somebody_by_name in broken(template, place)


@pytest.mark.parametrize(
    "principal",
    [
        {"Service": ["lambda.amazonaws.com", "ec2.amazonaws.com"]},
        {"Service": "lambda.amazonaws.com", "AWS": "arn:aws:iam::000000000000:root"},
        {"AWS": "arn:aws:iam::000000000000:root"},
        {"Federated": "accounts.google.com"},
    ],
)
def test_finds_a_role_of_anybody_but_one_service(template: Template, principal: Any) -> None:
    [[_, trust]] = statements(template["Resources"]["FunctionRole"]["Properties"]["AssumeRolePolicyDocument"])
    trust["Principal"] = principal
    assert rules.trusts_one_service_per_role in broken(template, "FunctionRole")


def test_finds_a_trust_of_two_statements_or_of_more_than_assuming(template: Template) -> None:
    for role in ("FunctionRole", "AirflowRole"):
        document = template["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]
        document["Statement"][0]["Action"] = ["sts:AssumeRole", "sts:TagSession"]
        assert broken(template, role) == {rules.only_lets_roles_be_assumed}
    document = template["Resources"]["InstanceRole"]["Properties"]["AssumeRolePolicyDocument"]
    document["Statement"] *= 2
    assert broken(template, "InstanceRole") == {rules.trusts_one_service_per_role}


def test_finds_a_policy_of_others_on_a_role(template: Template) -> None:
    for name, role in of_type(template, "IAM::Role"):
        role["ManagedPolicyArns"] = ["arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"]
        assert broken(template, name) == {rules.attaches_no_policy_of_others}


PASSES = [place for place in RIGHTS if STATEMENTS[place]["Action"] == "iam:PassRole"]


@pytest.mark.parametrize("place", PASSES)
@pytest.mark.parametrize("condition", [{}, {"StringEquals": {"iam:PassedToService": "glue.amazonaws.com"}}])
def test_finds_a_role_passed_to_another_service(template: Template, place: str, condition: dict[str, Any]) -> None:
    assert len(PASSES) == 3
    [found] = [statement for at, statement in statements(template) if at == place]
    found["Condition"] = condition
    assert broken(template, place) == {rules.passes_a_role_to_its_own_service}
