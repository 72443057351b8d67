"""Endpoint configurations: which models an endpoint serves, on how many instances, and what it records."""

from localaws.cloud import Cloud, Handler, Request, Response, now
from localaws.errors import AwsError
from localaws.sagemaker import models
from localaws.sagemaker.listing import listing
from localaws.store import Document

KIND = "endpoint-config"


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
    names = [variant["VariantName"] for variant in variants]
    if len(set(names)) < len(names):
        raise AwsError("ValidationException", "Each production variant needs a name of its own.")
    for variant in variants:
        if "ModelName" in variant:
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


OPERATIONS: dict[str, Handler] = {
    "CreateEndpointConfig": create_endpoint_config,
    "DescribeEndpointConfig": describe_endpoint_config,
    "DeleteEndpointConfig": delete_endpoint_config,
    "ListEndpointConfigs": list_endpoint_configs,
}
