"""Endpoint configurations, over HTTP."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import LocalAws

ARN = "arn:aws:sagemaker:us-east-1:000000000000:"
VARIANT = {
    "VariantName": "AllTraffic",
    "ModelName": "configured",
    "InitialInstanceCount": 1,
    "InstanceType": "ml.m5.large",
}
CAPTURE = {
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://bucket/capture",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}


@pytest.fixture(scope="module")
def sagemaker(local_aws: LocalAws) -> Any:
    client = local_aws.client("sagemaker")
    client.create_model(ModelName="configured", PrimaryContainer={"Image": "image:1"})
    return client


def invalid(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    return str(caught.value.response["Error"]["Message"])


def test_describes_what_was_created(sagemaker: Any) -> None:
    created = sagemaker.create_endpoint_config(
        EndpointConfigName="described", ProductionVariants=[VARIANT], DataCaptureConfig=CAPTURE
    )
    assert created["EndpointConfigArn"] == f"{ARN}endpoint-config/described"
    config = sagemaker.describe_endpoint_config(EndpointConfigName="described")
    assert config["ProductionVariants"] == [VARIANT | {"InitialVariantWeight": 1.0}]
    assert config["DataCaptureConfig"] == CAPTURE


def test_a_name_is_taken_until_its_configuration_is_deleted(sagemaker: Any) -> None:
    config = {"EndpointConfigName": "taken", "ProductionVariants": [VARIANT]}
    sagemaker.create_endpoint_config(**config)
    arn = f"{ARN}endpoint-config/taken"
    message = invalid(sagemaker.create_endpoint_config, **config)
    assert message == f'Cannot create already existing endpoint configuration "{arn}".'
    sagemaker.delete_endpoint_config(EndpointConfigName="taken")
    for call in (sagemaker.describe_endpoint_config, sagemaker.delete_endpoint_config):
        assert invalid(call, EndpointConfigName="taken") == f'Could not find endpoint configuration "{arn}".'
    sagemaker.create_endpoint_config(**config)


def test_needs_a_model_that_exists(sagemaker: Any) -> None:
    missing = {"EndpointConfigName": "missing", "ProductionVariants": [VARIANT | {"ModelName": "absent"}]}
    assert invalid(sagemaker.create_endpoint_config, **missing) == f'Could not find model "{ARN}model/absent".'


def test_needs_variants_of_different_names(sagemaker: Any) -> None:
    twice = {"EndpointConfigName": "twice", "ProductionVariants": [VARIANT, VARIANT]}
    assert "name of its own" in invalid(sagemaker.create_endpoint_config, **twice)


@pytest.mark.parametrize(
    ("members", "variant", "reason"),
    [
        ({}, {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}, "ServerlessConfig is not built"),
        ({"AsyncInferenceConfig": {"OutputConfig": {}}}, {}, "AsyncInferenceConfig is not built"),
        ({"ShadowProductionVariants": [VARIANT]}, {}, "ShadowProductionVariants is not built"),
        ({"DataCaptureConfig": CAPTURE | {"DestinationS3Uri": "https://bucket/capture"}}, {}, "s3://bucket/prefix"),
    ],
)
def test_refuses_other_kinds_of_hosting(
    sagemaker: Any, members: dict[str, Any], variant: dict[str, Any], reason: str
) -> None:
    config = {"EndpointConfigName": "other", "ProductionVariants": [VARIANT | variant], **members}
    assert reason in invalid(sagemaker.create_endpoint_config, **config)


def test_a_variant_needs_its_instances(sagemaker: Any) -> None:
    bare = {"VariantName": "AllTraffic", "ModelName": "configured"}
    config = {"EndpointConfigName": "bare", "ProductionVariants": [bare]}
    message = invalid(sagemaker.create_endpoint_config, **config)
    assert message == "The variant AllTraffic needs InitialInstanceCount, InstanceType."


def test_refuses_an_instance_type_that_is_none(sagemaker: Any) -> None:
    config = {"EndpointConfigName": "huge", "ProductionVariants": [VARIANT | {"InstanceType": "ml.huge"}]}
    message = invalid(sagemaker.create_endpoint_config, **config)
    assert "at 'productionVariants.1.member.instanceType' failed to satisfy constraint" in message


def test_lists_the_newest_first(sagemaker: Any) -> None:
    for number in range(3):
        sagemaker.create_endpoint_config(EndpointConfigName=f"listed-{number}", ProductionVariants=[VARIANT])
    listed = sagemaker.list_endpoint_configs(NameContains="listed-")["EndpointConfigs"]
    assert [config["EndpointConfigName"] for config in listed] == ["listed-2", "listed-1", "listed-0"]
