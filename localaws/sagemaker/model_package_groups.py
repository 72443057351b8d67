"""Model package groups: the versions of one model, numbered from 1."""

import threading

from localaws.cloud import Cloud, Handler, Request, Response, now
from localaws.errors import AwsError
from localaws.sagemaker.listing import listing
from localaws.store import Document

KIND = "model-package-group"
VERSIONS = "Versions"  # how many were ever made: a deleted version's number is not given again

_numbering = threading.Lock()


def find(cloud: Cloud, name_or_arn: str) -> Document:
    """A group, VERSIONS included. ValidationException when there is none."""
    document = cloud.store.get(KIND, name_or_arn.rsplit("/", 1)[-1])
    if document is None or (name_or_arn.startswith("arn:") and name_or_arn != document["ModelPackageGroupArn"]):
        arn = name_or_arn if name_or_arn.startswith("arn:") else cloud.arn("sagemaker", f"{KIND}/{name_or_arn}")
        raise AwsError("ValidationException", f"ModelPackageGroup {arn} does not exist.")
    return document


def next_version(cloud: Cloud, name_or_arn: str) -> tuple[str, int]:
    """The group's name and the number of its next version, which is then taken."""
    with _numbering:
        group = find(cloud, name_or_arn)
        version = group[VERSIONS] + 1
        cloud.store.update(KIND, group["ModelPackageGroupName"], **{VERSIONS: version})
        return group["ModelPackageGroupName"], version


def create_model_package_group(cloud: Cloud, request: Request) -> Response:
    """CreateModelPackageGroup."""
    name = request["ModelPackageGroupName"]
    arn = cloud.arn("sagemaker", f"{KIND}/{name}")
    document = {key: value for key, value in request.items() if key != "Tags"}
    document |= {
        "ModelPackageGroupArn": arn,
        "ModelPackageGroupStatus": "Completed",
        "CreationTime": now(),
        "CreatedBy": {},
        VERSIONS: 0,
    }
    if not cloud.store.add(KIND, name, document):
        raise AwsError("ValidationException", f"Model Package Group already exists: {arn}.")
    return {"ModelPackageGroupArn": arn}


def describe_model_package_group(cloud: Cloud, request: Request) -> Response:
    """DescribeModelPackageGroup."""
    document = find(cloud, request["ModelPackageGroupName"])
    return {key: value for key, value in document.items() if key != VERSIONS}


def delete_model_package_group(cloud: Cloud, request: Request) -> Response:
    """DeleteModelPackageGroup; ConflictException while it holds a version."""
    name = find(cloud, request["ModelPackageGroupName"])["ModelPackageGroupName"]
    packages = [item for item in cloud.store.all("model-package") if item.get("ModelPackageGroupName") == name]
    if packages:
        raise AwsError(
            "ConflictException",
            f"ModelPackageGroup {name} still holds {len(packages)} model packages; delete them first.",
        )
    cloud.store.delete(KIND, name)
    return {}


def list_model_package_groups(cloud: Cloud, request: Request) -> Response:
    """ListModelPackageGroups."""
    return listing(
        cloud.store.all(KIND),
        request,
        into="ModelPackageGroupSummaryList",
        name="ModelPackageGroupName",
        members=(
            "ModelPackageGroupName",
            "ModelPackageGroupArn",
            "ModelPackageGroupDescription",
            "CreationTime",
            "ModelPackageGroupStatus",
        ),
        order="Ascending",
    )


OPERATIONS: dict[str, Handler] = {
    "CreateModelPackageGroup": create_model_package_group,
    "DescribeModelPackageGroup": describe_model_package_group,
    "DeleteModelPackageGroup": delete_model_package_group,
    "ListModelPackageGroups": list_model_package_groups,
}
