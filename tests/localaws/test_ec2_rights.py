"""What a role must be allowed to launch instances, to send them commands and to end them."""

from typing import Any

from tests.conftest import LocalAws
from tests.localaws.jobs import refused
from tests.localaws.machines import ACCOUNT, Machines


def allow(action: str | list[str], resource: str | list[str], **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def test_sending_needs_the_right_on_the_document_and_the_instance(
    local_aws: LocalAws, machines: Machines, instance: str
) -> None:
    document = "arn:aws:ssm:us-east-1::document/AWS-RunShellScript"
    machine = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{instance}"
    request = {
        "DocumentName": "AWS-RunShellScript",
        "InstanceIds": [instance],
        "Parameters": {"commands": ["true"]},
    }

    def client(*statements: dict[str, Any]) -> Any:
        return local_aws.client("ssm", **local_aws.role(*statements))

    for granted, missing in ((machine, document), (document, machine)):
        code, message = refused(client(allow("ssm:SendCommand", granted)).send_command, **request)
        assert (code, f"ssm:SendCommand on resource: {missing}" in message) == ("AccessDeniedException", True), message
    both = client(allow("ssm:SendCommand", [document, machine]))
    command = both.send_command(**request)["Command"]["CommandId"]
    asked = {"CommandId": command, "InstanceId": instance}
    assert refused(both.get_command_invocation, **asked)[0] == "AccessDeniedException"
    assert refused(both.describe_instance_information)[0] == "AccessDeniedException"
    assert machines.ended(command, instance)["Status"] == "Success"
    tagged = client(
        allow("ssm:SendCommand", document),
        allow("ssm:SendCommand", "*", Condition={"StringEquals": {"ssm:resourceTag/team": "dogs"}}),
    )
    assert refused(tagged.send_command, **request)[0] == "AccessDeniedException"
    machines.ec2.create_tags(Resources=[instance], Tags=[{"Key": "team", "Value": "dogs"}])
    assert machines.ended(tagged.send_command(**request)["Command"]["CommandId"], instance)["Status"] == "Success"


def test_launching_needs_the_right_on_all_it_makes_and_to_pass_the_role(
    local_aws: LocalAws, machines: Machines
) -> None:
    request = {
        "ImageId": machines.image,
        "InstanceType": "g4dn.xlarge",
        "MinCount": 1,
        "MaxCount": 1,
        "IamInstanceProfile": {"Name": machines.profile},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "dogs"}]}],
        "DryRun": True,
    }
    mine = f"arn:aws:ec2:us-east-1:{ACCOUNT}:"
    kinds = ("instance", "network-interface", "volume", "subnet", "security-group")
    made = [f"{mine}{kind}/*" for kind in kinds]
    image = f"arn:aws:ec2:us-east-1::image/{machines.image}"
    small = {"StringEquals": {"ec2:InstanceType": "g4dn.xlarge"}}
    role = f"arn:aws:iam::{ACCOUNT}:role/{machines.profile}"
    steps = [
        (allow("ec2:RunInstances", image), f"ec2:RunInstances on resource: {mine}instance/*"),
        (allow("ec2:RunInstances", made, Condition=small), f"iam:PassRole on resource: {role}"),
        (allow("iam:PassRole", role), f"ec2:CreateTags on resource: {mine}instance/*"),
    ]
    statements: list[dict[str, Any]] = []
    for statement, missing in steps:
        statements.append(statement)
        code, message = refused(local_aws.client("ec2", **local_aws.role(*statements)).run_instances, **request)
        assert (code, missing in message) == ("UnauthorizedOperation", True), message
    statements.append(allow("ec2:CreateTags", f"{mine}instance/*"))
    ec2 = local_aws.client("ec2", **local_aws.role(*statements))
    assert refused(ec2.run_instances, **request)[0] == "DryRunOperation"


def test_a_launch_is_asked_for_the_tags_of_each_kind_of_thing(local_aws: LocalAws, machines: Machines) -> None:
    tagged = {"StringEquals": {"aws:RequestTag/team": "dogs"}}
    mine = f"arn:aws:ec2:us-east-1:{ACCOUNT}:"
    others = [f"{mine}{kind}/*" for kind in ("network-interface", "subnet", "security-group")]
    role = local_aws.role(
        allow("ec2:RunInstances", [f"arn:aws:ec2:us-east-1::image/{machines.image}", *others]),
        allow("ec2:RunInstances", [f"{mine}instance/*", f"{mine}volume/*"], Condition=tagged),
        allow("ec2:CreateTags", "*"),
    )
    ec2 = local_aws.client("ec2", **role)
    request = {"ImageId": machines.image, "InstanceType": "m5.xlarge", "MinCount": 1, "MaxCount": 1, "DryRun": True}
    specifications = [
        {"ResourceType": kind, "Tags": [{"Key": "team", "Value": "dogs"}]} for kind in ("instance", "volume")
    ]
    code, message = refused(ec2.run_instances, **request, TagSpecifications=specifications[:1])
    assert (code, f"ec2:RunInstances on resource: {mine}volume/*" in message) == ("UnauthorizedOperation", True)
    assert refused(ec2.run_instances, **request, TagSpecifications=specifications)[0] == "DryRunOperation"


def test_terminating_needs_the_right_on_every_instance(local_aws: LocalAws, machines: Machines, instance: str) -> None:
    other = machines.launch()
    resource = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{other}"
    ec2 = local_aws.client("ec2", **local_aws.role(allow("ec2:TerminateInstances", resource)))
    assert refused(ec2.terminate_instances, InstanceIds=[other, instance])[0] == "UnauthorizedOperation"
    assert (machines.state(other), machines.state(instance)) == ("running", "running")
    ec2.terminate_instances(InstanceIds=[other])


def test_the_query_cannot_hide_the_action(local_aws: LocalAws, machines: Machines, instance: str) -> None:
    ec2 = local_aws.client("ec2", **local_aws.role(allow("ec2:DescribeInstances", "*")))
    ec2.meta.events.register(
        "before-sign.ec2.*", lambda request, **_: setattr(request, "url", request.url + "?Action=DescribeInstances")
    )
    assert refused(ec2.terminate_instances, InstanceIds=[instance])[0] == "UnauthorizedOperation"
    assert machines.state(instance) == "running"
