"""What any template of ours must keep to, whatever is in it: each rule yields the places where one does not."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.unit.infra.template import Statement, Template, listed, of_type, statements

Rule = Callable[[Template], Iterator[str]]

# The types that the rules below look at. One that is new here needs its rules first.
TYPES = {
    "AWS::EC2::SecurityGroup",
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::Role",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
}

# Assumed by whoever runs Airflow, a user or a role; every other role by one AWS service.
NOT_OF_A_SERVICE = {"AirflowRole"}

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

# An ARN with an account (or AWS's own, or any that publishes images) and, after it, the beginning of a name.
ARN = re.compile(r"arn:\$\{AWS::Partition\}:[a-z0-9-]+:(\$\{AWS::Region\})?:(\$\{AWS::AccountId\})?:[^*]+.*")
IMAGES = re.compile(r"arn:\$\{AWS::Partition\}:ecr:\$\{AWS::Region\}:\*:repository/pytorch-[a-z]+")
OBJECTS = re.compile(r"\$\{\w+\.Arn\}/.+")


def has_only_types_that_have_rules(template: Template) -> Iterator[str]:
    yield from (name for name, resource in template["Resources"].items() if resource["Type"] not in TYPES)


def encrypts_buckets(template: Template) -> Iterator[str]:
    for name, bucket in of_type(template, "S3::Bucket"):
        configured = bucket.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
        algorithms = {rule.get("ServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for rule in configured}
        if not algorithms or not algorithms <= {"AES256", "aws:kms"}:
            yield name


def keeps_versions(template: Template) -> Iterator[str]:
    for name, bucket in of_type(template, "S3::Bucket"):
        if bucket.get("VersioningConfiguration") != {"Status": "Enabled"}:
            yield name


def blocks_public_access(template: Template) -> Iterator[str]:
    blocks = {"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}
    for name, bucket in of_type(template, "S3::Bucket"):
        if bucket.get("PublicAccessBlockConfiguration") != dict.fromkeys(blocks, True):
            yield name


def leaves_no_object_to_its_uploader(template: Template) -> Iterator[str]:
    for name, bucket in of_type(template, "S3::Bucket"):
        if bucket.get("OwnershipControls") != {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}:
            yield name


def refuses_plain_http(template: Template) -> Iterator[str]:
    """The local AWS alone may go without, by the parameter that the condition TlsRequired reads."""
    refusing = [
        statement["Resource"]
        for name, policy in of_type(template, "S3::BucketPolicy")
        if template["Resources"][name].get("Condition", "TlsRequired") == "TlsRequired"
        for _, statement in statements(policy)
        if (statement["Effect"], statement.get("Principal"), statement.get("Action")) == ("Deny", "*", "s3:*")
        and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
    ]
    for name, _ in of_type(template, "S3::Bucket"):
        if [{"GetAtt": f"{name}.Arn"}, {"Sub": f"${{{name}.Arn}}/*"}] not in refusing:
            yield name


def ends_logs(template: Template) -> Iterator[str]:
    yield from (name for name, group in of_type(template, "Logs::LogGroup") if not group.get("RetentionInDays"))


def encrypts_topics(template: Template) -> Iterator[str]:
    yield from (name for name, topic in of_type(template, "SNS::Topic") if not topic.get("KmsMasterKeyId"))


def lets_nobody_in(template: Template) -> Iterator[str]:
    """No way into a machine, and out of it only HTTPS. A group without a rule on what goes out lets all out."""
    for name, group in of_type(template, "EC2::SecurityGroup"):
        out = [
            (rule.get("IpProtocol"), rule.get("FromPort"), rule.get("ToPort"))
            for rule in group.get("SecurityGroupEgress", [])
        ]
        if "SecurityGroupIngress" in group or set(out) != {("tcp", 443, 443)}:
            yield name


def trusts_somebody_by_name(template: Template) -> Iterator[str]:
    """Nobody is let in as whoever they are: only a Deny may be about everybody."""
    for place, statement in statements(template):
        if statement["Effect"] == "Allow" and "*" in "".join(strings(statement.get("Principal"))):
            yield place


def trusts_one_service_per_role(template: Template) -> Iterator[str]:
    for name, role in of_type(template, "IAM::Role"):
        found = [statement for _, statement in statements(role.get("AssumeRolePolicyDocument"))]
        if name not in NOT_OF_A_SERVICE and (len(found) != 1 or not service(found[0])):
            yield name


def only_lets_roles_be_assumed(template: Template) -> Iterator[str]:
    """A trust policy grants sts:AssumeRole and nothing else, and to one kind of principal."""
    for name, role in of_type(template, "IAM::Role"):
        for _, statement in statements(role.get("AssumeRolePolicyDocument")):
            if statement["Action"] != "sts:AssumeRole" or len(statement["Principal"]) != 1:
                yield name


def attaches_no_policy_of_others(template: Template) -> Iterator[str]:
    """A managed policy may say anything tomorrow; AWS's own say too much today."""
    yield from (name for name, role in of_type(template, "IAM::Role") if "ManagedPolicyArns" in role)


def says_what_not_what_else(template: Template) -> Iterator[str]:
    for place, statement in statements(template):
        if {"NotAction", "NotResource", "NotPrincipal"} & statement.keys():
            yield place


def names_each_action_in_full(template: Template) -> Iterator[str]:
    for place, statement in statements(template):
        actions = listed(statement.get("Action", []))
        whole = actions and all(re.fullmatch(r"[a-z0-9-]+:[A-Za-z]+", action) for action in actions)
        if statement["Effect"] == "Allow" and not whole:
            yield place


def names_a_resource_wherever_there_is_one(template: Template) -> Iterator[str]:
    for place, statement in statements(template):
        if statement["Effect"] == "Deny" or "Principal" in statement:
            continue
        resources, actions = listed(statement.get("Resource", [])), set(listed(statement.get("Action", [])))
        if resources == ["*"]:
            fits = actions <= WITHOUT_RESOURCE
        else:
            fits = bool(resources) and all(map(named, resources)) and not actions & WITHOUT_RESOURCE
        if not fits:
            yield place


def passes_a_role_to_its_own_service(template: Template) -> Iterator[str]:
    trusted = {
        f"{name}.Arn": service(statement)
        for name, role in of_type(template, "IAM::Role")
        for _, statement in statements(role.get("AssumeRolePolicyDocument"))
    }
    for place, statement in statements(template):
        if "iam:PassRole" not in listed(statement.get("Action", [])):
            continue
        resource = statement.get("Resource")
        to = trusted.get(resource.get("GetAtt", "")) if isinstance(resource, dict) else None
        if to is None or statement.get("Condition") != {"StringEquals": {"iam:PassedToService": to}}:
            yield place


def strings(value: Any) -> Iterator[str]:
    """Every text in a value."""
    if isinstance(value, str):
        yield value
    for below in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from strings(below)


def service(statement: Statement) -> str | None:
    """The one service that a statement of a trust policy is about."""
    principal = statement.get("Principal")
    name = principal.get("Service") if isinstance(principal, dict) and len(principal) == 1 else None
    return name if isinstance(name, str) and re.fullmatch(r"[a-z0-9-]+\.amazonaws\.com", name) else None


def named(resource: Any) -> bool:
    """Whether a resource is one of this template, objects in one, or an ARN that begins to name something."""
    if not isinstance(resource, dict):
        return False
    text = resource.get("Sub", "")
    return resource.keys() <= {"GetAtt", "Ref"} or any(form.fullmatch(text) for form in (ARN, IMAGES, OBJECTS))


RULES: tuple[Rule, ...] = (
    has_only_types_that_have_rules,
    encrypts_buckets,
    keeps_versions,
    blocks_public_access,
    leaves_no_object_to_its_uploader,
    refuses_plain_http,
    ends_logs,
    encrypts_topics,
    lets_nobody_in,
    trusts_somebody_by_name,
    trusts_one_service_per_role,
    only_lets_roles_be_assumed,
    attaches_no_policy_of_others,
    says_what_not_what_else,
    names_each_action_in_full,
    names_a_resource_wherever_there_is_one,
    passes_a_role_to_its_own_service,
)
