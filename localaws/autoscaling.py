"""Application Auto Scaling of SageMaker's variants: scalable targets, target tracking policies, scaling activities."""

import contextlib
import re
import secrets
import threading
import uuid
from typing import Any

from botocore.exceptions import ClientError

from localaws import target_tracking
from localaws.clock import every_minute
from localaws.cloud import Cloud, Handler, Request, Response, now
from localaws.errors import AwsError
from localaws.store import Document
from localaws.target_tracking import ACTIVITIES, POLICIES, TARGETS

NAMESPACE = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
PAGE = 50
METRIC = "SageMakerVariantInvocationsPerInstance"
ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"

_stop = threading.Event()


def register_scalable_target(cloud: Cloud, request: Request) -> Response:
    """RegisterScalableTarget: new, or other bounds for an old one. Capacity outside them is brought inside."""
    resource = _resource(request)
    target_tracking.variant(cloud, resource)
    before = cloud.store.get(TARGETS, resource) or {}
    target: Document = {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": resource,
        "ScalableDimension": DIMENSION,
        "RoleARN": f"arn:aws:iam::{cloud.account_id}:role/aws-service-role/"
        f"sagemaker.application-autoscaling.amazonaws.com/{ROLE}",
        "CreationTime": now(),
        "SuspendedState": {
            "DynamicScalingInSuspended": False,
            "DynamicScalingOutSuspended": False,
            "ScheduledScalingSuspended": False,
        },
        "ScalableTargetARN": cloud.arn("application-autoscaling", f"scalable-target/{secrets.token_hex(16)}"),
        **before,
    }
    target |= {key: request[key] for key in ("MinCapacity", "MaxCapacity") if key in request}
    target["SuspendedState"] |= request.get("SuspendedState", {})
    if "MinCapacity" not in target or "MaxCapacity" not in target:
        raise AwsError("ValidationException", "A new scalable target needs both MinCapacity and MaxCapacity.")
    if target["MinCapacity"] > target["MaxCapacity"]:
        raise AwsError(
            "ValidationException",
            f"Minimum capacity {target['MinCapacity']} is greater than maximum capacity {target['MaxCapacity']}.",
        )
    if not cloud.store.add(TARGETS, resource, target):
        cloud.store.update(TARGETS, resource, **target)
    with contextlib.suppress(ClientError):  # the endpoint began to change just now: the next minute sees to it
        target_tracking.keep_bounds(cloud, target)
    return {"ScalableTargetARN": target["ScalableTargetARN"]}


def describe_scalable_targets(cloud: Cloud, request: Request) -> Response:
    """DescribeScalableTargets."""
    wanted = request.get("ResourceIds")
    targets = [
        target for target in _of_dimension(cloud, TARGETS, request) if not wanted or target["ResourceId"] in wanted
    ]
    return _page(targets, request, "ScalableTargets")


def deregister_scalable_target(cloud: Cloud, request: Request) -> Response:
    """DeregisterScalableTarget; its policies go with it."""
    resource = _resource(request)
    _registered(cloud, resource)
    _forget_target(cloud, resource)
    return {}


def put_scaling_policy(cloud: Cloud, request: Request) -> Response:
    """PutScalingPolicy: target tracking on the invocations per instance or on any one CloudWatch metric."""
    resource = _resource(request)
    _registered(cloud, resource)
    configuration = _target_tracking(request)
    name = f"{resource}:{request['PolicyName']}"
    before = cloud.store.get(POLICIES, name) or {}
    policy: Document = {
        "PolicyARN": cloud.arn(
            "autoscaling",
            f"scalingPolicy:{uuid.uuid4()}:resource/{NAMESPACE}/{resource}:policyName/{request['PolicyName']}",
        ),
        "PolicyName": request["PolicyName"],
        "ServiceNamespace": NAMESPACE,
        "ResourceId": resource,
        "ScalableDimension": DIMENSION,
        "PolicyType": "TargetTrackingScaling",
        "CreationTime": now(),
        "Alarms": [_alarm(cloud, resource, kind) for kind in ("High", "Low")],
        **before,
        "TargetTrackingScalingPolicyConfiguration": configuration,
    }
    if not cloud.store.add(POLICIES, name, policy):
        cloud.store.update(POLICIES, name, **policy)
    return {"PolicyARN": policy["PolicyARN"], "Alarms": policy["Alarms"]}


def describe_scaling_policies(cloud: Cloud, request: Request) -> Response:
    """DescribeScalingPolicies."""
    names, resource = request.get("PolicyNames"), request.get("ResourceId")
    policies = [
        policy
        for policy in _of_dimension(cloud, POLICIES, request)
        if (not names or policy["PolicyName"] in names) and resource in (None, policy["ResourceId"])
    ]
    return _page(policies, request, "ScalingPolicies")


def delete_scaling_policy(cloud: Cloud, request: Request) -> Response:
    """DeleteScalingPolicy."""
    resource = _resource(request)
    if not cloud.store.delete(POLICIES, f"{resource}:{request['PolicyName']}"):
        raise AwsError(
            "ObjectNotFoundException",
            f"No scaling policy found for service namespace: {NAMESPACE}, resource ID: {resource}, "
            f"scalable dimension: {DIMENSION}, policy name: {request['PolicyName']}",
        )
    return {}


def describe_scaling_activities(cloud: Cloud, request: Request) -> Response:
    """DescribeScalingActivities, the newest first."""
    resource = request.get("ResourceId")
    activities = [
        target_tracking.settled(cloud, activity)
        for activity in reversed(_of_dimension(cloud, ACTIVITIES, request))
        if resource in (None, activity["ResourceId"])
    ]
    return _page(activities, request, "ScalingActivities")


def variants(cloud: Cloud, endpoint: str) -> set[str]:
    """The names of an endpoint's variants that are scalable targets."""
    matches = (RESOURCE.fullmatch(target["ResourceId"]) for target in cloud.store.all(TARGETS))
    return {match[2] for match in matches if match and match[1] == endpoint}


def forget(cloud: Cloud, endpoint: str) -> None:
    """Deregister all of an endpoint's variants, as SageMaker does when it is deleted."""
    for variant in variants(cloud, endpoint):
        _forget_target(cloud, f"endpoint/{endpoint}/variant/{variant}")


def recover(cloud: Cloud) -> None:
    """Start following the policies. They are looked at half a minute late, when the datapoints are in."""
    _stop.clear()
    threading.Thread(target=_follow, args=(cloud,), name="autoscaling", daemon=True).start()


def shutdown(cloud: Cloud) -> None:
    """Stop following them."""
    _stop.set()


def _follow(cloud: Cloud) -> None:
    for minute in every_minute(_stop, late=0.5):
        target_tracking.follow(cloud, minute)


def _resource(request: Request) -> str:
    resource: str = request["ResourceId"]
    if request["ServiceNamespace"] != NAMESPACE or request["ScalableDimension"] != DIMENSION:
        raise AwsError("ValidationException", f"The local AWS scales only {NAMESPACE}, and there only {DIMENSION}.")
    if not RESOURCE.fullmatch(resource):
        raise AwsError(
            "ValidationException", f"The resource ID {resource} is not of the form endpoint/<name>/variant/<name>."
        )
    return resource


def _registered(cloud: Cloud, resource: str) -> None:
    if cloud.store.get(TARGETS, resource) is None:
        raise AwsError(
            "ObjectNotFoundException",
            f"No scalable target registered for service namespace: {NAMESPACE}, resource ID: {resource}, "
            f"scalable dimension: {DIMENSION}",
        )


def _target_tracking(request: Request) -> dict[str, Any]:
    configuration: dict[str, Any] | None = request.get("TargetTrackingScalingPolicyConfiguration")
    if request.get("PolicyType") != "TargetTrackingScaling" or configuration is None:
        raise AwsError(
            "ValidationException",
            "The local AWS has policies of the type TargetTrackingScaling only; "
            "give PolicyType and TargetTrackingScalingPolicyConfiguration.",
        )
    predefined = configuration.get("PredefinedMetricSpecification")
    customized = configuration.get("CustomizedMetricSpecification")
    if (predefined is None) == (customized is None):
        raise AwsError(
            "ValidationException",
            "Give either PredefinedMetricSpecification or CustomizedMetricSpecification, and not both.",
        )
    if predefined and predefined["PredefinedMetricType"] != METRIC:
        raise AwsError("ValidationException", f"The predefined metric of {DIMENSION} is {METRIC}.")
    if customized and not {"MetricName", "Namespace", "Statistic"} <= customized.keys():
        raise AwsError("ValidationException", "A customized metric needs MetricName, Namespace and Statistic here.")
    if configuration["TargetValue"] <= 0:
        raise AwsError("ValidationException", "The TargetValue must be greater than 0.")
    return configuration


def _of_dimension(cloud: Cloud, kind: str, request: Request) -> list[Document]:
    if request["ServiceNamespace"] != NAMESPACE or request.get("ScalableDimension", DIMENSION) != DIMENSION:
        return []
    return cloud.store.all(kind)


def _page(documents: list[Document], request: Request, into: str) -> Response:
    token = request.get("NextToken", "0")
    if not token.isdecimal():
        raise AwsError("InvalidNextTokenException", "The NextToken is not one of this listing.")
    end = int(token) + request.get("MaxResults", PAGE)
    page = [
        {key: value for key, value in document.items() if key not in target_tracking.PRIVATE}
        for document in documents[int(token) : end]
    ]
    return {into: page, **({"NextToken": str(end)} if end < len(documents) else {})}


def _alarm(cloud: Cloud, resource: str, kind: str) -> dict[str, str]:
    """An alarm's name as AWS gives it. CloudWatch here has no such alarm: the policy itself watches the metric."""
    name = f"TargetTracking-{resource}-Alarm{kind}-{uuid.uuid4()}"
    return {"AlarmName": name, "AlarmARN": cloud.arn("cloudwatch", f"alarm:{name}")}


def _forget_target(cloud: Cloud, resource: str) -> None:
    for policy in cloud.store.all(POLICIES):
        if policy["ResourceId"] == resource:
            cloud.store.delete(POLICIES, f"{resource}:{policy['PolicyName']}")
    cloud.store.delete(TARGETS, resource)


OPERATIONS: dict[str, Handler] = {
    "RegisterScalableTarget": register_scalable_target,
    "DescribeScalableTargets": describe_scalable_targets,
    "DeregisterScalableTarget": deregister_scalable_target,
    "PutScalingPolicy": put_scaling_policy,
    "DescribeScalingPolicies": describe_scaling_policies,
    "DeleteScalingPolicy": delete_scaling_policy,
    "DescribeScalingActivities": describe_scaling_activities,
}
