"""What a caller of our services must be allowed: IAM actions on resource ARNs, decided by MiniStack's evaluator.

The resources are those of the Service Authorization Reference: an operation acts on the ARN of the resource it names,
listings on `*`, a request that hands a role to a service needs `iam:PassRole` on that role, and one that creates
something with tags `sagemaker:AddTags` on what it creates.
"""

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from ministack.core import iam_evaluator, router
from ministack.core.iam_actions import identity_denial_message, request_tag_context

from localaws import autoscaling
from localaws.cloud import Cloud, Request
from localaws.errors import AwsError
from localaws.instances import rights
from localaws.protocols import Answer, write_error
from localaws.sagemaker import tags

SCALING = "application-autoscaling"

# The member that names a resource, and that resource's type in its ARN.
RESOURCES = {
    "TrainingJobName": "training-job",
    "ProcessingJobName": "processing-job",
    "HyperParameterTuningJobName": "hyper-parameter-tuning-job",
    "TransformJobName": "transform-job",
    "ModelName": "model",
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ModelPackageName": "model-package",
    "ModelPackageArn": "model-package",
    "ModelPackageGroupName": "model-package-group",
    "ResourceArn": "",
    "ResourceARN": "",
}
# Listings of what belongs to one resource; every other List* is of the whole account.
LISTINGS_OF_ONE = frozenset(
    {"ListModelPackages", "ListTags", "ListTagsForResource", "ListTrainingJobsForHyperParameterTuningJob"}
)
# Members of a request to Application Auto Scaling that policies may put conditions on.
SCALING_KEYS = {"ServiceNamespace": "service-namespace", "ScalableDimension": "scalable-dimension"}

# CreateFunction and UpdateFunctionConfiguration, by method and end of the path.
TAKE_A_ROLE = (("POST", "functions"), ("PUT", "configuration"))


def authorize(cloud: Cloud, access_key_id: str, namespace: str, operation: str, request: Request, body: bytes) -> None:
    """Raise AccessDeniedException unless the caller may do this operation on all that it names.

    `namespace` is IAM's name of the service. The caller's signature has been checked.
    """
    action = f"{namespace}:{operation}"
    if namespace in rights.SERVICES:
        for arn in rights.resources(cloud, operation, request):
            _require(cloud, access_key_id, action, arn, rights.context(operation, request, arn))
        for other_action, arn, keys in rights.further(cloud, operation, request):
            _require(cloud, access_key_id, other_action, arn, keys)
        return
    context = request_tag_context(namespace, action, body, {})
    if namespace == SCALING and not operation.startswith("Describe"):
        context |= {f"{SCALING}:{key}": request[member] for member, key in SCALING_KEYS.items() if member in request}
    for arn in resources(cloud, namespace, operation, request):
        carried = {f"aws:ResourceTag/{tag['Key']}": tag["Value"] for tag in tags.of(cloud, arn)}
        _require(cloud, access_key_id, action, arn, context | carried)
    if operation == "DeleteEndpoint":
        _require_deregistration(cloud, access_key_id, request["EndpointName"])
    if namespace == "sagemaker" and operation.startswith("Create") and request.get("Tags"):
        created = resources(cloud, namespace, operation, request)[0]
        _require(cloud, access_key_id, "sagemaker:AddTags", created, context)
    for role in _passed_roles(request):
        _require_passing(cloud, access_key_id, role, namespace)


def with_passed_roles(cloud: Cloud, lambda_: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Answer]]:
    """MiniStack's Lambda, which by itself lets whoever may make a function hand it any role."""

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Answer:
        operation = (method, path.rstrip("/").rpartition("/")[2])
        if operation in TAKE_A_ROLE and (role := _named_role(body)):
            try:
                _require_passing(cloud, router.extract_access_key_id(headers, query), role, "lambda")
            except AwsError as error:
                return write_error(error)
        return await lambda_(method, path, headers, body, query)

    return handle


def resources(cloud: Cloud, namespace: str, operation: str, request: Request) -> list[str]:
    """The ARNs that an operation acts on; `*` for one that has no resource."""
    if namespace == SCALING and "ResourceId" in request:
        return [cloud.arn(namespace, "scalable-target/*")]
    if operation == "CreateModelPackage" and request.get("ModelPackageGroupName"):
        group = str(request["ModelPackageGroupName"]).rsplit("/", 1)[-1]
        return [cloud.arn(namespace, f"model-package/{group}/*")]
    if operation == "CreateTransformJob":  # not on the model it names
        return [cloud.arn(namespace, f"transform-job/{request['TransformJobName']}")]
    if operation.startswith("List") and operation not in LISTINGS_OF_ONE:
        return ["*"]
    named = [(kind, str(request[member])) for member, kind in RESOURCES.items() if request.get(member)]
    return [name if name.startswith("arn:") else cloud.arn(namespace, f"{kind}/{name}") for kind, name in named] or [
        "*"
    ]


def _require_deregistration(cloud: Cloud, access_key_id: str, endpoint: str) -> None:
    """ValidationException when an endpoint has scalable targets, which go with it, and the caller may not do that."""
    if not autoscaling.variants(cloud, endpoint):
        return
    keys = {"service-namespace": autoscaling.NAMESPACE, "scalable-dimension": autoscaling.DIMENSION}
    context = {f"{SCALING}:{key}": value for key, value in keys.items()}
    try:
        _require(
            cloud,
            access_key_id,
            f"{SCALING}:DeregisterScalableTarget",
            cloud.arn(SCALING, "scalable-target/*"),
            context,
        )
    except AwsError as error:
        raise AwsError(
            "ValidationException",
            "An Application AutoScaling scalable target exists for a variant being deleted, and the IAM identity used "
            "to invoke DeleteEndpoint does not have application-autoscaling:DeregisterScalableTarget permission to "
            "deregister the scalable target.",
        ) from error


def _passed_roles(request: Request) -> Iterator[str]:
    definitions = [request.get("TrainingJobDefinition"), *(request.get("TrainingJobDefinitions") or [])]
    for part in (request, *definitions):
        if isinstance(part, dict):
            yield from (str(part[member]) for member in ("RoleArn", "ExecutionRoleArn") if part.get(member))


def _named_role(body: bytes) -> str:
    try:
        return str(json.loads(body)["Role"])
    except (ValueError, KeyError, TypeError):
        return ""  # which MiniStack refuses, or leaves as it is


def _require_passing(cloud: Cloud, access_key_id: str, role: str, namespace: str) -> None:
    _require(cloud, access_key_id, "iam:PassRole", role, {"iam:PassedToService": f"{namespace}.amazonaws.com"})


def _require(cloud: Cloud, access_key_id: str, action: str, arn: str, context: dict[str, Any]) -> None:
    service = action.partition(":")[0]
    denied = iam_evaluator.enforce(
        access_key_id, action, service, cloud.region, resource_arn=arn, service_context=context
    )
    if isinstance(denied, iam_evaluator.AuthError):
        raise AwsError("UnrecognizedClientException", denied.message, 403)
    if denied:
        message = identity_denial_message(action, denied.principal_arn, arn, denied.decision == "Deny")
        raise AwsError("AccessDeniedException", message)
