"""Model packages: versions of a model in a group, with the metrics it had and whether it is approved."""

import threading

from localaws.cloud import Cloud, Handler, Request, Response, now
from localaws.errors import AwsError
from localaws.sagemaker import model_package_groups
from localaws.sagemaker.listing import listing
from localaws.store import Document

KIND = "model-package"
# What a record holds beyond what DescribeModelPackage answers: the request that made it, the token of the last update.
ASKED, UPDATE_TOKEN = "Asked", "UpdateToken"
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

_changing = threading.Lock()


def find(cloud: Cloud, name_or_arn: str) -> Document:
    """A package's record, by its ARN, or by `group/version` or name. ValidationException when there is none."""
    arn = name_or_arn if name_or_arn.startswith("arn:") else cloud.arn("sagemaker", f"{KIND}/{name_or_arn}")
    document = cloud.store.get(KIND, arn)
    if document is None:
        raise AwsError("ValidationException", f"ModelPackage {arn} does not exist.")
    return document


def create_model_package(cloud: Cloud, request: Request) -> Response:
    """CreateModelPackage: the next version of a group, or an unversioned package with a name of its own.

    A request repeated with its ClientToken, as botocore does by itself when an answer is lost, makes no second one.
    """
    if "ModelPackageGroupName" in request and "ModelPackageName" in request:
        raise AwsError(
            "ValidationException",
            "Both ModelPackageName and ModelPackageGroupName are provided in the input. Cannot determine which one to "
            "use.",
        )
    if "ModelPackageGroupName" not in request and "ModelPackageName" not in request:
        raise AwsError("ValidationException", "Missing ARN.")
    with _changing:
        return {"ModelPackageArn": _made_before(cloud, request) or _make(cloud, request)}


def _made_before(cloud: Cloud, request: Request) -> str | None:
    """The package that a request with this token has made. ConflictException when it was another request."""
    token = request.get("ClientToken")
    for document in cloud.store.all(KIND) if token else ():
        if document[ASKED].get("ClientToken") == token:
            if document[ASKED] != request:
                raise AwsError("ConflictException", f"ClientToken {token} was used with other parameters.")
            return str(document["ModelPackageArn"])
    return None


def _make(cloud: Cloud, request: Request) -> str:
    document = {key: value for key, value in request.items() if key not in ("Tags", "ClientToken")}
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
        ASKED: request,
    }
    if not cloud.store.add(KIND, arn, document):
        raise AwsError("ConflictException", f"ModelPackage {arn} already exists.")
    return arn


def describe_model_package(cloud: Cloud, request: Request) -> Response:
    """DescribeModelPackage."""
    document = find(cloud, request["ModelPackageName"])
    return {key: value for key, value in document.items() if key not in (ASKED, UPDATE_TOKEN) and value is not None}


def update_model_package(cloud: Cloud, request: Request) -> Response:
    """UpdateModelPackage: the approval, and metadata added and removed key by key."""
    with _changing:
        document = find(cloud, request["ModelPackageArn"])
        token = request.get("ClientToken")
        if token is None or token != document.get(UPDATE_TOKEN):
            changed = {**_changed(document, request), UPDATE_TOKEN: token}
            cloud.store.update(KIND, document["ModelPackageArn"], LastModifiedTime=now(), **changed)
    return {"ModelPackageArn": document["ModelPackageArn"]}


def _changed(document: Document, request: Request) -> Document:
    """The members that an update gives a package."""
    changed = {member: request[member] for member in REPLACED if member in request}
    removed = request.get("CustomerMetadataPropertiesToRemove", [])
    before = document.get("CustomerMetadataProperties") or {}
    kept = {key: value for key, value in before.items() if key not in removed}
    changed["CustomerMetadataProperties"] = kept | request.get("CustomerMetadataProperties", {}) or None
    added = request.get("AdditionalInferenceSpecificationsToAdd", [])
    if added:
        changed["AdditionalInferenceSpecifications"] = document.get("AdditionalInferenceSpecifications", []) + added
    return changed


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
