"""What is in service now: the endpoint, its scaling and the function in front of it."""

from typing import Any

from botocore.exceptions import ClientError

from kennel.local.aws import LocalAws
from kennel.local.prediction import ALIAS
from kennel.registry import MISSING

Document = dict[str, Any]


def endpoint(aws: LocalAws) -> Document | None:
    """Name, status, config and how many instances serve; None when there is none."""
    try:
        found = aws.client("sagemaker").describe_endpoint(EndpointName=aws.names.endpoint)
    except ClientError as error:
        if error.response["Error"]["Code"] not in MISSING:
            raise
        return None
    return {
        "name": found["EndpointName"],
        "status": found["EndpointStatus"],
        "config": found["EndpointConfigName"],
        "instances": sum(variant["CurrentInstanceCount"] for variant in found["ProductionVariants"]),
    }


def autoscaling(aws: LocalAws) -> Document | None:
    """Least and most instances, and the target of invocations per instance and minute; None when not registered."""
    scaling = aws.client("application-autoscaling")
    resource = {"ServiceNamespace": "sagemaker", "ResourceId": aws.names.scalable_target}
    targets = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[aws.names.scalable_target])
    policies = scaling.describe_scaling_policies(**resource)["ScalingPolicies"]
    if not targets["ScalableTargets"] or not policies:
        return None
    return {
        "min": targets["ScalableTargets"][0]["MinCapacity"],
        "max": targets["ScalableTargets"][0]["MaxCapacity"],
        "target": policies[0]["TargetTrackingScalingPolicyConfiguration"]["TargetValue"],
    }


def function(aws: LocalAws) -> Document | None:
    """Name, alias, version behind it and provisioned concurrency; None when there is none."""
    functions = aws.client("lambda")
    try:
        version = functions.get_alias(FunctionName=aws.names.function, Name=ALIAS)["FunctionVersion"]
    except functions.exceptions.ResourceNotFoundException:
        return None
    try:
        concurrency = functions.get_provisioned_concurrency_config(FunctionName=aws.names.function, Qualifier=ALIAS)
        provisioned = concurrency["AllocatedProvisionedConcurrentExecutions"]
    except functions.exceptions.ProvisionedConcurrencyConfigNotFoundException:
        provisioned = 0
    return {
        "name": aws.names.function,
        "alias": ALIAS,
        "version": version,
        "provisioned_concurrency": provisioned,
    }
