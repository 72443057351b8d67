"""Every request body passes the constraint check that the local AWS applies to what it serves."""

from collections.abc import Callable
from typing import Any

import pytest

from kennel.config import Classifier
from kennel.specs import serving
from localaws.validation import validate

RUN = "dogs-20261122t030000-3fa9c1"
MODEL = "s3://kennel-dogs-123456789012-us-east-1/runs/dogs/x/training/y/output/model.tar.gz"
GROUP = {"ModelPackageGroupName": "kennel-dogs", "ModelApprovalStatus": "Approved"}
CODE = {"Code": {"ZipFile": b"zip"}}

BODIES: list[tuple[str, str, Callable[[Classifier], dict[str, Any]]]] = [
    ("sagemaker", "CreateModelPackage", lambda dogs: {**serving.model_package(dogs, MODEL, {"run": RUN}), **GROUP}),
    ("sagemaker", "CreateModel", lambda dogs: serving.model(dogs, RUN, dogs.images.inference, MODEL)),
    ("sagemaker", "CreateEndpointConfig", lambda dogs: serving.endpoint_config(dogs, RUN, "ml.m5.large")),
    ("sagemaker", "CreateEndpoint", lambda dogs: serving.endpoint(dogs, f"{RUN}-abcdef")),
    ("application-autoscaling", "RegisterScalableTarget", serving.scalable_target),
    ("application-autoscaling", "PutScalingPolicy", serving.scaling_policy),
    ("lambda", "CreateFunction", lambda dogs: {**serving.function_configuration(dogs), **CODE}),
    ("lambda", "UpdateFunctionConfiguration", serving.function_configuration),
]


@pytest.mark.parametrize(("service", "operation", "body"), BODIES, ids=[operation for _, operation, _ in BODIES])
def test_the_body_passes_the_services_constraints(
    dogs: Classifier, service: str, operation: str, body: Callable[[Classifier], dict[str, Any]]
) -> None:
    assert validate(service, operation, body(dogs)) == []


def test_other_instances_make_another_endpoint_config(dogs: Classifier) -> None:
    first, again, other = (
        serving.endpoint_config(dogs, RUN, f"ml.{size}") for size in ("m5.large", "m5.large", "c5.large")
    )
    assert first == again
    assert first["EndpointConfigName"] != other["EndpointConfigName"]


def test_scales_as_the_classifier_says(dogs: Classifier) -> None:
    target, policy = serving.scalable_target(dogs), serving.scaling_policy(dogs)
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 2)
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 30
    assert target["ResourceId"] == policy["ResourceId"] == "endpoint/kennel-dogs/variant/AllTraffic"
