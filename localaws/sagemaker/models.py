"""Models: what an endpoint serves, and under which role."""

from typing import Any

from localaws.cloud import Cloud, Handler, Request, Response, now
from localaws.errors import AwsError
from localaws.sagemaker import model_packages
from localaws.sagemaker.listing import listing
from localaws.store import Document

KIND = "model"


def find(cloud: Cloud, name: str) -> Document:
    """A model as DescribeModel answers it. ValidationException when there is none."""
    document = cloud.store.get(KIND, name)
    if document is None:
        raise AwsError("ValidationException", f'Could not find model "{cloud.arn("sagemaker", f"model/{name}")}".')
    return document


def containers(cloud: Cloud, model: Document) -> list[dict[str, Any]]:
    """A model's containers, those named by model package with the package's image, data and environment filled in."""
    definitions = [model["PrimaryContainer"]] if "PrimaryContainer" in model else model["Containers"]
    return [_resolved(cloud, definition) for definition in definitions]


def create_model(cloud: Cloud, request: Request) -> Response:
    """CreateModel."""
    if ("PrimaryContainer" in request) == bool(request.get("Containers")):
        raise AwsError("ValidationException", "Give either PrimaryContainer or Containers, and not both.")
    name = request["ModelName"]
    arn = cloud.arn("sagemaker", f"model/{name}")
    document = {key: value for key, value in request.items() if key != "Tags"}
    document |= {
        "ModelArn": arn,
        "CreationTime": now(),
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
    }
    for container in containers(cloud, document):
        if not container.get("Image"):
            raise AwsError("ValidationException", "A container needs an Image or a ModelPackageName.")
    if not cloud.store.add(KIND, name, document):
        raise AwsError("ValidationException", f'Cannot create already existing model "{arn}".')
    return {"ModelArn": arn}


def describe_model(cloud: Cloud, request: Request) -> Response:
    """DescribeModel."""
    return find(cloud, request["ModelName"])


def delete_model(cloud: Cloud, request: Request) -> Response:
    """DeleteModel. An endpoint that serves it goes on serving."""
    find(cloud, request["ModelName"])
    cloud.store.delete(KIND, request["ModelName"])
    return {}


def list_models(cloud: Cloud, request: Request) -> Response:
    """ListModels."""
    members = ("ModelName", "ModelArn", "CreationTime")
    return listing(cloud.store.all(KIND), request, into="Models", name="ModelName", members=members)


def _resolved(cloud: Cloud, definition: dict[str, Any]) -> dict[str, Any]:
    if "ModelPackageName" not in definition:
        return definition
    package = model_packages.find(cloud, definition["ModelPackageName"])
    if package.get("ModelApprovalStatus", "Approved") != "Approved":
        raise AwsError("ValidationException", f"Model package {package['ModelPackageArn']} is not approved.")
    packaged = package.get("InferenceSpecification", {}).get("Containers") or [{}]
    environment = packaged[0].get("Environment", {}) | definition.get("Environment", {})
    return {**packaged[0], **definition, "Environment": environment}


OPERATIONS: dict[str, Handler] = {
    "CreateModel": create_model,
    "DescribeModel": describe_model,
    "DeleteModel": delete_model,
    "ListModels": list_models,
}
SIMPLIFIED = {
    "CreateModel": "A model of several containers is kept, but only one of a single container can be served. VpcConfig "
    "and EnableNetworkIsolation are recorded and not acted on.",
}
