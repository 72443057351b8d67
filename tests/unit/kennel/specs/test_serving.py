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
    ("sagemaker", "CreateModel", lambda dogs: serving.model(dogs, 12, dogs.images.inference, MODEL)),
    ("sagemaker", "CreateEndpointConfig", lambda dogs: serving.endpoint_config(dogs, 12, "ml.m5.large", 1)),
    ("sagemaker", "CreateEndpoint", lambda dogs: serving.endpoint(dogs, "kennel-dogs", "dogs-v12-abcdef")),
    (
        "sagemaker",
        "UpdateEndpoint",
        lambda dogs: {
            "EndpointName": "kennel-dogs",
            "EndpointConfigName": "dogs-v12-abcdef",
            "DeploymentConfig": {"BlueGreenUpdatePolicy": serving.blue_green(dogs)},
        },
    ),
    *(("cloudwatch", "PutMetricAlarm", lambda dogs, kind=kind: serving.rollback_alarms(dogs)[kind]) for kind in (0, 1)),
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


def test_is_named_by_the_version_and_other_instances_make_another_config(dogs: Classifier) -> None:
    first, again, larger, more = (
        serving.endpoint_config(dogs, 12, f"ml.{size}", count)
        for size, count in (("m5.large", 1), ("m5.large", 1), ("c5.large", 1), ("m5.large", 2))
    )
    assert first == again
    assert first["EndpointConfigName"].startswith("dogs-v12-")
    assert len({config["EndpointConfigName"] for config in (first, larger, more)}) == 3


def test_an_update_is_watched_for_errors_and_slow_answers_as_long_as_the_classifier_says(dogs: Classifier) -> None:
    errors, latency = serving.rollback_alarms(dogs)
    assert (errors["MetricName"], errors["Threshold"]) == ("Invocation5XXErrors", 5)
    assert (latency["MetricName"], latency["Threshold"]) == ("ModelLatency", 2_000_000)
    assert serving.blue_green(dogs)["TerminationWaitInSeconds"] == 300


def test_scales_as_the_classifier_says(dogs: Classifier) -> None:
    target, policy = serving.scalable_target(dogs), serving.scaling_policy(dogs)
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 2)
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 30
    assert target["ResourceId"] == policy["ResourceId"] == "endpoint/kennel-dogs/variant/AllTraffic"
