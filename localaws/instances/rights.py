"""What IAM decides about when instances are started, stopped and sent commands (Service Authorization Reference)."""

from typing import Any

from localaws.cloud import Cloud, Request
from localaws.instances import machine, ssm

SERVICES = ("ec2", "ssm")


def resources(cloud: Cloud, operation: str, request: Request) -> list[str]:
    """The ARNs that an operation acts on; `*` for one that has no resource."""
    if operation == "RunInstances":
        return _of_launch(cloud, request)
    if operation == "SendCommand":
        document = request["DocumentName"]
        # Those that AWS publishes belong to no account.
        named = document if document.startswith("arn:") else f"arn:aws:ssm:{cloud.region}::document/{document}"
        instances = request.get("InstanceIds") or ssm.target_ids(cloud, request) or ["*"]
        return [named, *(cloud.arn("ec2", f"instance/{instance_id}") for instance_id in instances)]
    if operation.endswith("Instances") and not operation.startswith("Describe"):
        return [cloud.arn("ec2", f"instance/{instance_id}") for instance_id in request["InstanceIds"]]
    return ["*"]


def _of_launch(cloud: Cloud, request: Request) -> list[str]:
    groups = [f"security-group/{group}" for group in request.get("SecurityGroupIds", ["*"])]
    keys = [f"key-pair/{request['KeyName']}"] if "KeyName" in request else []
    created = ["instance/*", "network-interface/*", "volume/*"]
    if request.get("InstanceMarketOptions", {}).get("MarketType") == "spot":
        created.append("spot-instances-request/*")
    named = [f"subnet/{request.get('SubnetId', '*')}", *groups, *keys]
    image = f"arn:aws:ec2:{cloud.region}::image/{request.get('ImageId', '*')}"
    return [image, *(cloud.arn("ec2", resource) for resource in [*created, *named])]


def context(operation: str, request: Request, arn: str) -> dict[str, Any]:
    """The condition keys of an operation on a resource, beside those that all services have."""
    _, _, instance_id = arn.partition(":instance/")
    keys: dict[str, Any] = {}
    for key, value in machine.tags(instance_id).items():
        keys |= {f"aws:ResourceTag/{key}": value, f"ec2:ResourceTag/{key}": value, f"ssm:resourceTag/{key}": value}
    if operation == "RunInstances":
        for specification in request.get("TagSpecifications", ()):
            if f":{specification.get('ResourceType')}/" in arn:
                keys |= _request_tags(specification)
        keys |= {"ec2:InstanceType": request["InstanceType"]} if "InstanceType" in request else {}
        metadata = request.get("MetadataOptions", {})
        keys |= {"ec2:MetadataHttpTokens": metadata["HttpTokens"]} if "HttpTokens" in metadata else {}
    return keys


def further(cloud: Cloud, operation: str, request: Request) -> list[tuple[str, str, dict[str, Any]]]:
    """What else the caller must be allowed: action, resource, condition keys."""
    if operation == "SendCommand" and request.get("ServiceRoleArn"):
        return [("iam:PassRole", request["ServiceRoleArn"], {"iam:PassedToService": "ssm.amazonaws.com"})]
    if operation != "RunInstances":
        return []
    checks = []
    profile = request.get("IamInstanceProfile", {})
    name = profile.get("Name") or profile.get("Arn", "").rsplit("/", 1)[-1]
    if name and (role := machine.profile_role(cloud, name)):
        checks.append(("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"}))
    for specification in request.get("TagSpecifications", ()):
        keys = {**_request_tags(specification), "ec2:CreateAction": operation}
        checks.append(("ec2:CreateTags", cloud.arn("ec2", f"{specification.get('ResourceType', '*')}/*"), keys))
    return checks


def _request_tags(specification: Request) -> dict[str, Any]:
    tags = {tag.get("Key", ""): tag.get("Value", "") for tag in specification.get("Tags", ())}
    return {"aws:TagKeys": list(tags), **{f"aws:RequestTag/{key}": value for key, value in tags.items()}}
