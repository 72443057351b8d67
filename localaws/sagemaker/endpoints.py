"""Endpoints. What is asked of them is written down here and carried out by `localaws.serving`."""

import threading
from collections.abc import Sequence
from dataclasses import asdict, replace

from localaws import autoscaling
from localaws.cloud import Cloud, Handler, Request, Response, now
from localaws.errors import AwsError
from localaws.sagemaker import endpoint_configs
from localaws.sagemaker.listing import listing
from localaws.serving import capture, deployment, metrics, shifting
from localaws.serving.deployment import KIND, RUNNING
from localaws.serving.variant import Variant
from localaws.store import Document

INSTANCE_LIMIT = 20  # of one endpoint; AWS's own quotas start lower for most instance types

_transition = threading.Lock()


def find(cloud: Cloud, name: str) -> Document:
    """An endpoint's document. ValidationException when there is none."""
    document = cloud.store.get(KIND, name)
    if document is None:
        raise AwsError("ValidationException", f'Could not find endpoint "{_arn(cloud, name)}".')
    return document


def create_endpoint(cloud: Cloud, request: Request) -> Response:
    """CreateEndpoint."""
    name, arn = request["EndpointName"], _arn(cloud, request["EndpointName"])
    if cloud.store.get(KIND, name):
        raise _taken(arn)
    config = endpoint_configs.find(cloud, request["EndpointConfigName"])
    variants = _variants(cloud, config)
    summaries = _summaries(config, variants)
    _check_limit(summaries)
    shifting.check(cloud, request.get("DeploymentConfig"), _instances(summaries))
    document = {
        "EndpointName": name,
        "EndpointArn": arn,
        "EndpointConfigName": config["EndpointConfigName"],
        "ProductionVariants": summaries,
        RUNNING: [asdict(variant) for variant in variants],
        "EndpointStatus": "Creating",
        "CreationTime": now(),
        "LastModifiedTime": now(),
        "LastDeploymentConfig": request.get("DeploymentConfig"),
    }
    if not cloud.store.add(KIND, name, document):
        raise _taken(arn)
    deployment.create(cloud, document)
    return {"EndpointArn": arn}


def update_endpoint(cloud: Cloud, request: Request) -> Response:
    """UpdateEndpoint: a fleet for the new config takes over as the deployment config says."""
    name = request["EndpointName"]
    document = find(cloud, name)
    config = endpoint_configs.find(cloud, request["EndpointConfigName"])
    variants = _variants(cloud, config)
    _check_targets(cloud, document, variants)
    summaries = _summaries(config, variants)
    excluded = {item["VariantPropertyType"] for item in request.get("ExcludeRetainedVariantProperties", [])}
    if request.get("RetainAllVariantProperties"):
        summaries = _retain(summaries, document["ProductionVariants"], excluded)
        if "DataCaptureConfig" not in excluded:
            variants = [replace(variant, capture=_capture(document)) for variant in variants]
    elif excluded:
        raise AwsError("ValidationException", "ExcludeRetainedVariantProperties goes with RetainAllVariantProperties.")
    _check_limit(summaries)
    last = document["LastDeploymentConfig"]
    deployment_config = last if request.get("RetainDeploymentConfig") else request.get("DeploymentConfig")
    shifting.check(cloud, deployment_config, _instances(summaries))
    pending = deployment.pending(config["EndpointConfigName"], summaries, "Creating", now())
    changed: Document = {"PendingDeploymentSummary": pending, "LastDeploymentConfig": deployment_config}
    document = _begin(cloud, name, "Updating", FailureReason=None, **changed)
    deployment.update(cloud, document, variants, summaries)
    return {"EndpointArn": document["EndpointArn"]}


def update_endpoint_weights_and_capacities(cloud: Cloud, request: Request) -> Response:
    """UpdateEndpointWeightsAndCapacities; scaling goes this way too."""
    name = request["EndpointName"]
    before = find(cloud, name)["ProductionVariants"]
    desired = {item["VariantName"]: item for item in request["DesiredWeightsAndCapacities"]}
    if unknown := desired.keys() - {variant["VariantName"] for variant in before}:
        raise AwsError("ValidationException", f"The endpoint {name} has no variant {', '.join(sorted(unknown))}.")
    properties = ("DesiredWeight", "DesiredInstanceCount")
    after = [
        {**variant, **{key: desired.get(variant["VariantName"], variant).get(key, variant[key]) for key in properties}}
        for variant in before
    ]
    if any(variant["DesiredInstanceCount"] < 1 for variant in after):
        raise AwsError("ValidationException", "The DesiredInstanceCount of a variant must be at least 1.")
    _check_limit(after)
    document = _begin(cloud, name, "Updating", FailureReason=None)
    cloud.store.update(KIND, name, ProductionVariants=after)
    deployment.resize(cloud, document, after)
    return {"EndpointArn": document["EndpointArn"]}


def describe_endpoint(cloud: Cloud, request: Request) -> Response:
    """DescribeEndpoint."""
    document = find(cloud, request["EndpointName"])
    answer = {key: value for key, value in document.items() if key != RUNNING and value is not None}
    if capture := _capture(document):
        answer["DataCaptureConfig"] = _capture_summary(capture, document["EndpointStatus"])
    return answer


def list_endpoints(cloud: Cloud, request: Request) -> Response:
    """ListEndpoints."""
    documents = [
        document
        for document in cloud.store.all(KIND)
        if request.get("StatusEquals") in (None, document["EndpointStatus"])
        and request.get("LastModifiedTimeAfter", 0) < document["LastModifiedTime"]
        and document["LastModifiedTime"] < request.get("LastModifiedTimeBefore", float("inf"))
    ]
    if request.get("SortBy") == "Status":
        documents.sort(key=lambda document: str(document["EndpointStatus"]))
    members = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
    return listing(documents, request, into="Endpoints", name="EndpointName", members=members)


def delete_endpoint(cloud: Cloud, request: Request) -> Response:
    """DeleteEndpoint. Its variants stop being scalable targets."""
    name = request["EndpointName"]
    document = _begin(cloud, name, "Deleting", of=("InService", "Failed"))
    autoscaling.forget(cloud, name)
    deployment.delete(cloud, document)
    return {}


def recover(cloud: Cloud) -> None:
    """Bring every endpoint back, and publish their metrics from now on."""
    deployment.recover(cloud)
    metrics.start(cloud)
    capture.start(cloud)


def shutdown(cloud: Cloud) -> None:
    """Stop every serving process."""
    metrics.stop()
    deployment.shut_down()
    capture.stop(cloud)


def _arn(cloud: Cloud, name: str) -> str:
    return cloud.arn("sagemaker", f"endpoint/{name}")


def _taken(arn: str) -> AwsError:
    return AwsError("ValidationException", f'Cannot create already existing endpoint "{arn}".')


def _begin(cloud: Cloud, name: str, status: str, of: Sequence[str] = ("InService",), **members: object) -> Document:
    """Take an endpoint into a state of change, from one of the states `of`. ValidationException from any other."""
    with _transition:
        document = find(cloud, name)
        if document["EndpointStatus"] == "Failed" and "Failed" not in of:
            raise AwsError(
                "ValidationException",
                f'Cannot update failed endpoint "{document["EndpointArn"]}". Delete it and create it again.',
            )
        if document["EndpointStatus"] not in of:
            raise AwsError("ValidationException", f'Cannot update in-progress endpoint "{document["EndpointArn"]}".')
        return cloud.store.update(KIND, name, EndpointStatus=status, LastModifiedTime=now(), **members)


def _variants(cloud: Cloud, config: Document) -> list[Variant]:
    return [Variant.of(cloud, variant, config.get("DataCaptureConfig")) for variant in config["ProductionVariants"]]


def _capture(document: Document) -> Document | None:
    """The DataCaptureConfig in force, which all variants share."""
    capture: Document | None = document[RUNNING][0].get("capture")
    return capture


def _capture_summary(capture: Document, status: str) -> Document:
    """A DataCaptureConfig as DescribeEndpoint shows it."""
    started = capture.get("EnableCapture", True) and status not in ("Creating", "Failed", "Deleting")
    return {
        "EnableCapture": capture.get("EnableCapture", True),
        "CaptureStatus": "Started" if started else "Stopped",
        "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
        "DestinationS3Uri": capture["DestinationS3Uri"],
        "KmsKeyId": capture.get("KmsKeyId", ""),
    }


def _summaries(config: Document, variants: Sequence[Variant]) -> list[Document]:
    """ProductionVariants as DescribeEndpoint shows them before there is an instance."""
    return [
        {
            "VariantName": variant.name,
            "DeployedImages": [
                {"SpecifiedImage": variant.image, "ResolvedImage": variant.image, "ResolutionTime": now()}
            ],
            "CurrentWeight": production_variant["InitialVariantWeight"],
            "DesiredWeight": production_variant["InitialVariantWeight"],
            "CurrentInstanceCount": 0,
            "DesiredInstanceCount": production_variant.get("InitialInstanceCount", 1),
        }
        for production_variant, variant in zip(config["ProductionVariants"], variants, strict=True)
    ]


def _retain(summaries: list[Document], before: list[Document], excluded: set[str]) -> list[Document]:
    """With the desired weights and instance counts that the variants of the same names have now."""
    kept = {"DesiredWeight", "DesiredInstanceCount"} - excluded
    current = {variant["VariantName"]: variant for variant in before}
    return [
        {**summary, **{key: current.get(summary["VariantName"], summary)[key] for key in kept}} for summary in summaries
    ]


def _instances(summaries: Sequence[Document]) -> int:
    return sum(summary["DesiredInstanceCount"] for summary in summaries)


def _check_limit(summaries: Sequence[Document]) -> None:
    wanted = _instances(summaries)
    if wanted > INSTANCE_LIMIT:
        raise AwsError(
            "ResourceLimitExceeded",
            f"The account-level service limit 'Number of instances for an endpoint' is {INSTANCE_LIMIT} Instances, "
            f"with current utilization of 0 Instances and a request delta of {wanted} Instances. Please use AWS "
            "Service Quotas to request an increase for this quota. If AWS Service Quotas is not available, contact AWS "
            "support to request an increase for this quota.",
        )


def _check_targets(cloud: Cloud, document: Document, variants: Sequence[Variant]) -> None:
    """ValidationException when a variant that scales would go or change its instance type, as on AWS."""
    after = {variant.name: variant.instance_type for variant in variants}
    scaling = autoscaling.variants(cloud, document["EndpointName"])
    changed = [
        running["name"]
        for running in document[RUNNING]
        if running["name"] in scaling and after.get(running["name"]) != running["instance_type"]
    ]
    if changed:
        names = ", ".join(f'"{name}"' for name in changed)
        raise AwsError(
            "ValidationException",
            f"The variant(s) {names} must be deregistered as scalable targets with AWS Auto Scaling "
            "before they can be removed or have their instance type changed.",
        )


SIMPLIFIED: dict[str, str] = {
    "CreateEndpoint": "Every instance is a process on this machine that serves one PyTorch container.",
    "UpdateEndpoint": "Blue/green only (RollingUpdatePolicy is refused). LOCALAWS_CLOCK_SPEED shortens its waits, "
    "but not MaximumExecutionTimeoutInSeconds.",
}

OPERATIONS: dict[str, Handler] = {
    "CreateEndpoint": create_endpoint,
    "UpdateEndpoint": update_endpoint,
    "UpdateEndpointWeightsAndCapacities": update_endpoint_weights_and_capacities,
    "DescribeEndpoint": describe_endpoint,
    "ListEndpoints": list_endpoints,
    "DeleteEndpoint": delete_endpoint,
}
