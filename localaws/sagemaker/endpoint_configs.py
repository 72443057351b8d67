"""Endpoint configurations: which models an endpoint serves, on how many instances, and what it records."""

from localaws.cloud import Cloud, Handler, Request, Response, now
from localaws.errors import AwsError
from localaws.sagemaker import models
from localaws.sagemaker.listing import listing
from localaws.store import Document

KIND = "endpoint-config"
UNBUILT = ("AsyncInferenceConfig", "ExplainerConfig", "ShadowProductionVariants")
UNBUILT_OF_A_VARIANT = ("ServerlessConfig", "InstancePools", "ManagedInstanceScaling")
NEEDED = ("ModelName", "InitialInstanceCount", "InstanceType")  # of a variant on instances of its own


def find(cloud: Cloud, name: str) -> Document:
    """A configuration as DescribeEndpointConfig answers it. ValidationException when there is none."""
    document = cloud.store.get(KIND, name)
    if document is None:
        arn = cloud.arn("sagemaker", f"endpoint-config/{name}")
        raise AwsError("ValidationException", f'Could not find endpoint configuration "{arn}".')
    return document


def create_endpoint_config(cloud: Cloud, request: Request) -> Response:
    """CreateEndpointConfig."""
    variants = request["ProductionVariants"]
    _check(request)
    names = [variant["VariantName"] for variant in variants]
    if len(set(names)) < len(names):
        raise AwsError("ValidationException", "Each production variant needs a name of its own.")
    for variant in variants:
        models.find(cloud, variant["ModelName"])
    name = request["EndpointConfigName"]
    arn = cloud.arn("sagemaker", f"endpoint-config/{name}")
    document = {key: value for key, value in request.items() if key != "Tags"}
    document |= {"EndpointConfigArn": arn, "CreationTime": now()}
    document["ProductionVariants"] = [{"InitialVariantWeight": 1.0, **variant} for variant in variants]
    if not cloud.store.add(KIND, name, document):
        raise AwsError("ValidationException", f'Cannot create already existing endpoint configuration "{arn}".')
    return {"EndpointConfigArn": arn}


def describe_endpoint_config(cloud: Cloud, request: Request) -> Response:
    """DescribeEndpointConfig."""
    return find(cloud, request["EndpointConfigName"])


def delete_endpoint_config(cloud: Cloud, request: Request) -> Response:
    """DeleteEndpointConfig. An endpoint that was made from it goes on as it is."""
    find(cloud, request["EndpointConfigName"])
    cloud.store.delete(KIND, request["EndpointConfigName"])
    return {}


def list_endpoint_configs(cloud: Cloud, request: Request) -> Response:
    """ListEndpointConfigs."""
    members = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
    documents = cloud.store.all(KIND)
    return listing(documents, request, into="EndpointConfigs", name="EndpointConfigName", members=members)


def _check(request: Request) -> None:
    """ValidationException for kinds of hosting that are not here, and for a variant that lacks a member."""
    unbuilt = [member for member in UNBUILT if member in request]
    for variant in request["ProductionVariants"]:
        unbuilt += [member for member in UNBUILT_OF_A_VARIANT if member in variant]
    if unbuilt:
        raise AwsError("ValidationException", f"{unbuilt[0]} is not built in the local AWS: it serves from instances.")
    for variant in request["ProductionVariants"]:
        if missing := [member for member in NEEDED if member not in variant]:
            raise AwsError("ValidationException", f"The variant {variant['VariantName']} needs {', '.join(missing)}.")
    capture = request.get("DataCaptureConfig")
    if capture and not capture["DestinationS3Uri"].startswith("s3://"):
        raise AwsError(
            "ValidationException", "DataCaptureConfig.DestinationS3Uri must be of the form s3://bucket/prefix."
        )


SIMPLIFIED: dict[str, str] = {
    "CreateEndpointConfig": "Variants on instances only: no serverless, asynchronous or shadow variants, no explainer, "
    "no instance pools; instance types are recorded, and all run on this machine.",
}

OPERATIONS: dict[str, Handler] = {
    "CreateEndpointConfig": create_endpoint_config,
    "DescribeEndpointConfig": describe_endpoint_config,
    "DeleteEndpointConfig": delete_endpoint_config,
    "ListEndpointConfigs": list_endpoint_configs,
}
