"""The EC2 instances of a classifier: what they are launched from, which are alive, and the end of those left over."""

import datetime
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from kennel.specs.ec2 import JOB_TAG, LIMIT_TAG

Instance = dict[str, Any]

ALIVE = ("pending", "running")
NOT_ENDED = (*ALIVE, "stopping", "stopped")
CLASSIFIER_TAG = "kennel:classifier"


class NotFoundError(ValueError):
    """Something that instances need and the account or region has not; the message says what to do."""


@dataclass(frozen=True)
class Image:
    """A machine image and the name of its root device."""

    image_id: str
    device: str


def image(ec2: Any, ssm: Any, parameter: str) -> Image:
    """The image that a public parameter leads to. Raises NotFoundError."""
    try:
        image_id = ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        raise NotFoundError(
            f"there is no parameter {parameter} in this region: set ec2.image_parameter to one that "
            "`aws ssm get-parameters-by-path --path /aws/service/deeplearning/ami --recursive` lists"
        ) from None
    [found] = ec2.describe_images(ImageIds=[image_id])["Images"]
    return Image(image_id, found["RootDeviceName"])


def security_group(ec2: Any, name: str) -> str:
    """The id of the security group of a name. Raises NotFoundError."""
    found = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])["SecurityGroups"]
    if len(found) != 1:
        raise NotFoundError(
            f"there are {len(found)} security groups named {name}, not one: update the stack from infra/foundation.yaml"
        )
    return str(found[0]["GroupId"])


def tagged(ec2: Any, key: str, value: str, states: tuple[str, ...]) -> list[Instance]:
    """The instances with a tag and in one of the states, the oldest first."""
    filters = [{"Name": f"tag:{key}", "Values": [value]}, {"Name": "instance-state-name", "Values": list(states)}]
    pages = ec2.get_paginator("describe_instances").paginate(Filters=filters)
    found = [instance for page in pages for group in page["Reservations"] for instance in group["Instances"]]
    return sorted(found, key=lambda instance: (instance["LaunchTime"], instance["InstanceId"]))


def of_job(ec2: Any, name: str) -> list[Instance]:
    """The live instances of a training."""
    return tagged(ec2, JOB_TAG, name, ALIVE)


def described(ec2: Any, instance_id: str) -> Instance:
    """One instance. Of one that has been gone for an hour or so, AWS says nothing but that."""
    try:
        found = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
            raise
        return {"InstanceId": instance_id, "State": {"Name": "terminated"}}
    return dict(found[0]["Instances"][0])


def terminate(ec2: Any, instances: list[Instance]) -> None:
    """End instances; one that has ended is left as it is."""
    if instances:
        ec2.terminate_instances(InstanceIds=[instance["InstanceId"] for instance in instances])


def leftovers(ec2: Any, classifier: str, now: datetime.datetime) -> list[Instance]:
    """The classifier's instances that are older than their own limit."""
    return [
        instance
        for instance in tagged(ec2, CLASSIFIER_TAG, classifier, NOT_ENDED)
        if now - instance["LaunchTime"] > datetime.timedelta(minutes=float(tags(instance).get(LIMIT_TAG, "0")))
    ]


def tags(instance: Instance) -> dict[str, str]:
    """An instance's tags."""
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
