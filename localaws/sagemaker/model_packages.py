"""Model packages: versions of a model in a group, with the metrics it had and whether it is approved."""

from localaws.cloud import Cloud, Handler, Request, Response, now
from localaws.errors import AwsError
from localaws.sagemaker import model_package_groups
from localaws.sagemaker.listing import listing
from localaws.store import Document

KIND = "model-package"
NOT_DESCRIBED = ("Tags", "ClientToken")
SUMMARY = (
    "ModelPackageName",
    "ModelPackageGroupName",
    "ModelPackageVersion",
    "ModelPackageArn",
    "ModelPackageDescription",
    "CreationTime",
    "ModelPackageStatus",
    "ModelApprovalStatus",
)
# Members that an update replaces as they are.
REPLACED = (
    "ModelApprovalStatus",
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
    "ModelPackageRegistrationType",
)


def find(cloud: Cloud, name_or_arn: str) -> Document:
    """A package by its ARN, or by `group/version` or name, as DescribeModelPackage answers it.

    ValidationException when there is none.
    """
    arn = name_or_arn if name_or_arn.startswith("arn:") else cloud.arn("sagemaker", f"{KIND}/{name_or_arn}")
    document = cloud.store.get(KIND, arn)
    if document is None:
        raise AwsError("ValidationException", f"ModelPackage {arn} does not exist.")
    return document


def create_model_package(cloud: Cloud, request: Request) -> Response:
    """CreateModelPackage: the next version of a group, or an unversioned package with a name of its own."""
    if ("ModelPackageGroupName" in request) == ("ModelPackageName" in request):
        raise AwsError("ValidationException", "Give either ModelPackageGroupName or ModelPackageName, and not both.")
    document = {key: value for key, value in request.items() if key not in NOT_DESCRIBED}
    if "ModelPackageGroupName" in request:
        group, version = model_package_groups.next_version(cloud, request["ModelPackageGroupName"])
        name, path = group, f"{group}/{version}"
        document |= {"ModelPackageGroupName": group, "ModelPackageVersion": version}
        document.setdefault("ModelApprovalStatus", "PendingManualApproval")
    else:
        name = path = request["ModelPackageName"]
    arn = cloud.arn("sagemaker", f"{KIND}/{path}")
    document |= {
        "ModelPackageName": name,
        "ModelPackageArn": arn,
        "CreationTime": now(),
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
    }
    if not cloud.store.add(KIND, arn, document):
        raise AwsError("ConflictException", f"ModelPackage {arn} already exists.")
    return {"ModelPackageArn": arn}


def describe_model_package(cloud: Cloud, request: Request) -> Response:
    """DescribeModelPackage."""
    document = find(cloud, request["ModelPackageName"])
    return {key: value for key, value in document.items() if value is not None}


def update_model_package(cloud: Cloud, request: Request) -> Response:
    """UpdateModelPackage: the approval, and metadata added and removed key by key."""
    document = find(cloud, request["ModelPackageArn"])
    changed = {member: request[member] for member in REPLACED if member in request}
    removed = request.get("CustomerMetadataPropertiesToRemove", [])
    kept = {
        key: value for key, value in (document.get("CustomerMetadataProperties") or {}).items() if key not in removed
    }
    changed["CustomerMetadataProperties"] = (kept | request.get("CustomerMetadataProperties", {})) or None
    added = request.get("AdditionalInferenceSpecificationsToAdd", [])
    if added:
        changed["AdditionalInferenceSpecifications"] = document.get("AdditionalInferenceSpecifications", []) + added
    cloud.store.update(KIND, document["ModelPackageArn"], LastModifiedTime=now(), **changed)
    return {"ModelPackageArn": document["ModelPackageArn"]}


def delete_model_package(cloud: Cloud, request: Request) -> Response:
    """DeleteModelPackage."""
    cloud.store.delete(KIND, find(cloud, request["ModelPackageName"])["ModelPackageArn"])
    return {}


def list_model_packages(cloud: Cloud, request: Request) -> Response:
    """ListModelPackages: the versions of one group, or without a group the unversioned ones unless asked for."""
    documents = cloud.store.all(KIND)
    if "ModelPackageGroupName" in request:
        group = model_package_groups.find(cloud, request["ModelPackageGroupName"])["ModelPackageGroupName"]
        documents = [document for document in documents if document.get("ModelPackageGroupName") == group]
    elif (kind := request.get("ModelPackageType", "Unversioned")) != "Both":
        documents = [document for document in documents if ("ModelPackageVersion" in document) == (kind == "Versioned")]
    if "ModelApprovalStatus" in request:
        wanted = request["ModelApprovalStatus"]
        documents = [document for document in documents if document.get("ModelApprovalStatus") == wanted]
    return listing(
        documents,
        request,
        into="ModelPackageSummaryList",
        name="ModelPackageName",
        members=SUMMARY,
        order="Ascending",
    )


OPERATIONS: dict[str, Handler] = {
    "CreateModelPackage": create_model_package,
    "DescribeModelPackage": describe_model_package,
    "UpdateModelPackage": update_model_package,
    "DeleteModelPackage": delete_model_package,
    "ListModelPackages": list_model_packages,
}
SIMPLIFIED = {
    "CreateModelPackage": "Completed at once: what it names is not looked at, and ValidationSpecification is not run.",
}
