"""Taking a classifier down again: what there is of it, deleting that in the right order, looking whether it is gone.

The DAG `teardown` and the command `kennel teardown` share it. What the CloudFormation stack made stays: the bucket, the
roles, the topic.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from kennel import instances
from kennel.names import Names
from kennel.registry import described

MISSING = ("ResourceNotFound", "ResourceNotFoundException", "ValidationException", "NoSuchBucket")
AT_REST = ("InService", "Failed", "OutOfService", "UpdateRollbackFailed")
MODELS = ("runs/",)
DATA = ("datasets/", "snapshots/", "embeddings/", "code/", "weights/")
ENDPOINT_SECONDS = 5400  # an update may bake for an hour (endpoint.bake_minutes) before it ends
LOOKS = 6  # what was deleted may be listed for a while yet


class TeardownError(Exception):
    """Something stays that should have gone; the message is one line that names it."""


@dataclass(frozen=True)
class Account:
    """Where a classifier is taken down. `client` makes a boto3 client of a service, `say` hears of each step."""

    client: Callable[[str], Any]
    at: Names
    say: Callable[[str], None]
    poll_seconds: float


@dataclass(frozen=True)
class Kind:
    """One kind of thing to delete: what there is of it, by name, and how one is deleted."""

    noun: str
    find: Callable[[Account], list[str]]
    delete: Callable[[Account, str], None]


def found(account: Account, *, models: bool, data: bool) -> list[str]:
    """What would be deleted, in that order: `endpoint kennel-dogs`. Empty when nothing is left."""
    return [f"{kind.noun} {name}" for kind in _kinds(models, data) for name in kind.find(account)]


def delete(account: Account, *, models: bool, data: bool) -> None:
    """Delete what `found` lists. Raises TeardownError when an endpoint does not end what it is at."""
    for kind in _kinds(models, data):
        for name in kind.find(account):
            account.say(f"Deleting {kind.noun} {name}")
            kind.delete(account, name)


def check(account: Account, *, models: bool, data: bool) -> None:
    """Look again. Raises TeardownError, naming it, when something is left."""
    for look in range(LOOKS):
        if look:
            time.sleep(account.poll_seconds)
        left = found(account, models=models, data=data)
        if not left:
            return
    raise TeardownError(f"Still there: {', '.join(left)}. Delete it by hand, or tear down again.")


def what_stays(at: Names) -> str:
    """How to delete the stack, which a teardown never does."""
    return (
        f"The stack {at.stack} stays, with its bucket, roles and topic, which cost next to nothing. To delete it: "
        f"aws cloudformation delete-stack --stack-name {at.stack} (it stops at a bucket that is not empty)."
    )


def _kinds(models: bool, data: bool) -> Iterator[Kind]:
    yield Kind("instance", _instances, _terminate)
    yield Kind("scalable target", _scalable_targets, _deregister)
    yield Kind("endpoint", _endpoints, _delete_endpoint)
    yield Kind("endpoint config", _endpoint_configs, _delete_endpoint_config)
    yield Kind("model", _models, _delete_model)
    yield Kind("function", _functions, _delete_function)
    yield Kind("alarm", _alarms, _delete_alarm)
    if models:
        yield Kind("model package", _packages, _delete_package)
        yield Kind("model package group", _package_groups, _delete_package_group)
    for prefix in (*(MODELS if models else ()), *(DATA if data else ())):
        yield _objects(prefix)


def _exists(describe: Callable[..., Any], **name: str) -> bool:
    try:
        describe(**name)
    except ClientError as error:
        if error.response["Error"]["Code"] not in MISSING:
            raise
        return False
    return True


def _pages(client: Any, operation: str, member: str, **request: Any) -> list[Any]:
    """All that a listing has; nothing when what it lists the contents of is not there."""
    try:
        return [item for page in client.get_paginator(operation).paginate(**request) for item in page.get(member, ())]
    except ClientError as error:
        if error.response["Error"]["Code"] not in MISSING:
            raise
        return []


def _instances(account: Account) -> list[str]:
    ec2, classifier = account.client("ec2"), account.at.classifier
    left = instances.tagged(ec2, instances.CLASSIFIER_TAG, classifier, instances.NOT_ENDED)
    return [str(instance["InstanceId"]) for instance in left]


def _terminate(account: Account, name: str) -> None:
    account.client("ec2").terminate_instances(InstanceIds=[name])


SCALING = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}


def _scalable_targets(account: Account) -> list[str]:
    targets = account.client("application-autoscaling").describe_scalable_targets(
        ResourceIds=[account.at.scalable_target], **SCALING
    )
    return [target["ResourceId"] for target in targets["ScalableTargets"]]


def _deregister(account: Account, name: str) -> None:
    """Its policies go with it, and their alarms."""
    account.client("application-autoscaling").deregister_scalable_target(ResourceId=name, **SCALING)


def _endpoints(account: Account) -> list[str]:
    describe = account.client("sagemaker").describe_endpoint
    names = (account.at.endpoint, account.at.rehearsal)
    return [name for name in names if _exists(describe, EndpointName=name)]


def _delete_endpoint(account: Account, name: str) -> None:
    """Once it is at rest, for AWS refuses before, and until it is gone."""
    sagemaker = account.client("sagemaker")
    deadline = time.monotonic() + ENDPOINT_SECONDS
    said = ""
    while endpoint := described(sagemaker.describe_endpoint, EndpointName=name):
        status = endpoint["EndpointStatus"]
        if time.monotonic() > deadline:
            raise TeardownError(f"The endpoint {name} stays {status}: see why on AWS, then tear down again.")
        if status in AT_REST:
            sagemaker.delete_endpoint(EndpointName=name)
            continue
        if status != said:
            account.say(f"Waiting for the endpoint {name}, which is {status}")
            said = status
        time.sleep(account.poll_seconds)


def _endpoint_configs(account: Account) -> list[str]:
    stem = f"{account.at.classifier}-"
    listed = _pages(account.client("sagemaker"), "list_endpoint_configs", "EndpointConfigs", NameContains=stem)
    return [name for config in listed if (name := config["EndpointConfigName"]).startswith(stem)]


def _delete_endpoint_config(account: Account, name: str) -> None:
    account.client("sagemaker").delete_endpoint_config(EndpointConfigName=name)


def _models(account: Account) -> list[str]:
    stem = f"{account.at.classifier}-"
    listed = _pages(account.client("sagemaker"), "list_models", "Models", NameContains=stem)
    return [name for model in listed if (name := model["ModelName"]).startswith(stem)]


def _delete_model(account: Account, name: str) -> None:
    account.client("sagemaker").delete_model(ModelName=name)


def _functions(account: Account) -> list[str]:
    name = account.at.function
    return [name] if _exists(account.client("lambda").get_function_configuration, FunctionName=name) else []


def _delete_function(account: Account, name: str) -> None:
    """Its versions, alias and concurrency go with it."""
    account.client("lambda").delete_function(FunctionName=name)


def _alarms(account: Account) -> list[str]:
    cloudwatch = account.client("cloudwatch")
    listed = _pages(cloudwatch, "describe_alarms", "MetricAlarms", AlarmNamePrefix=f"{account.at.stack}-")
    return [alarm["AlarmName"] for alarm in listed]


def _delete_alarm(account: Account, name: str) -> None:
    account.client("cloudwatch").delete_alarms(AlarmNames=[name])


def _packages(account: Account) -> list[str]:
    group = {"ModelPackageGroupName": account.at.package_group}
    listed = _pages(account.client("sagemaker"), "list_model_packages", "ModelPackageSummaryList", **group)
    return [package["ModelPackageArn"] for package in listed]


def _delete_package(account: Account, name: str) -> None:
    account.client("sagemaker").delete_model_package(ModelPackageName=name)


def _package_groups(account: Account) -> list[str]:
    name = account.at.package_group
    describe = account.client("sagemaker").describe_model_package_group
    return [name] if _exists(describe, ModelPackageGroupName=name) else []


def _delete_package_group(account: Account, name: str) -> None:
    account.client("sagemaker").delete_model_package_group(ModelPackageGroupName=name)


def _objects(prefix: str) -> Kind:
    """All versions of all objects below a prefix of the bucket, and what marks them as deleted."""

    def find(account: Account) -> list[str]:
        try:
            page = account.client("s3").list_object_versions(Bucket=account.at.bucket, Prefix=prefix, MaxKeys=1)
        except ClientError as error:
            if error.response["Error"]["Code"] not in MISSING:
                raise
            return []
        return [account.at.uri(prefix)] if page.get("Versions") or page.get("DeleteMarkers") else []

    def delete(account: Account, name: str) -> None:
        s3, bucket = account.client("s3"), account.at.bucket
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            versions = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            if not versions:
                continue
            named = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": named, "Quiet": True})
            if failed := answer.get("Errors"):
                raise TeardownError(f"{account.at.uri(failed[0]['Key'])} stays: {failed[0]['Message']}")

    return Kind("all objects below", find, delete)
