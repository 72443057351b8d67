"""Application Auto Scaling of SageMaker's variants: scalable targets, target tracking policies, scaling activities.

Scheduled actions are in `scheduled_scaling`.
"""

import contextlib
import logging
import re
import secrets
import threading
import uuid
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws import paging, target_tracking
from localaws.clock import every_minute
from localaws.cloud import Cloud, Handler, Request, Response, now
from localaws.errors import AwsError
from localaws.store import Document
from localaws.target_tracking import ACTIVITIES, POLICIES, SCHEDULED, TARGETS

NAMESPACE = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
PAGE = 50
LARGEST_CAPACITY = 2**31 - 1
# What AWS takes for a target value.
LEAST_TARGET, GREATEST_TARGET = 8.515920e-109, 1.174271e108
METRIC = "SageMakerVariantInvocationsPerInstance"
ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"

log = logging.getLogger(__name__)
_stop = threading.Event()


def register_scalable_target(cloud: Cloud, request: Request) -> Response:
    """RegisterScalableTarget: new, or other bounds for an old one. Capacity outside them is brought inside."""
    resource = resource_of(request)
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
    check_bounds(target)
    set_bounds(cloud, target)
    return {"ScalableTargetARN": target["ScalableTargetARN"]}


def describe_scalable_targets(cloud: Cloud, request: Request) -> Response:
    """DescribeScalableTargets."""
    wanted = request.get("ResourceIds")
    targets = [
        target for target in of_dimension(cloud, TARGETS, request) if not wanted or target["ResourceId"] in wanted
    ]
    return page(targets, request, "ScalableTargets")


def deregister_scalable_target(cloud: Cloud, request: Request) -> Response:
    """DeregisterScalableTarget; its policies and scheduled actions go with it."""
    resource = resource_of(request)
    registered(cloud, resource)
    _forget_target(cloud, resource)
    return {}


def put_scaling_policy(cloud: Cloud, request: Request) -> Response:
    """PutScalingPolicy: target tracking on the invocations per instance or on any one CloudWatch metric."""
    resource = resource_of(request)
    registered(cloud, resource)
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
        "Alarms": [_alarm(cloud, resource, kind) for kind in target_tracking.ALARMS],
        **before,
        "TargetTrackingScalingPolicyConfiguration": configuration,
    }
    try:
        target_tracking.put_alarms(cloud, policy)
    except (BotoCoreError, ClientError) as error:
        raise AwsError("ValidationException", f"CloudWatch does not take the policy's metric: {error}") from error
    if not cloud.store.add(POLICIES, name, policy):
        cloud.store.update(POLICIES, name, **policy)
    return {"PolicyARN": policy["PolicyARN"], "Alarms": policy["Alarms"]}


def describe_scaling_policies(cloud: Cloud, request: Request) -> Response:
    """DescribeScalingPolicies."""
    names, resource = request.get("PolicyNames"), request.get("ResourceId")
    policies = [
        policy
        for policy in of_dimension(cloud, POLICIES, request)
        if (not names or policy["PolicyName"] in names) and resource in (None, policy["ResourceId"])
    ]
    return page(policies, request, "ScalingPolicies")


def delete_scaling_policy(cloud: Cloud, request: Request) -> Response:
    """DeleteScalingPolicy."""
    resource = resource_of(request)
    name = f"{resource}:{request['PolicyName']}"
    policy = cloud.store.get(POLICIES, name)
    if policy is None:
        raise AwsError(
            "ObjectNotFoundException",
            f"No scaling policy found for service namespace: {NAMESPACE}, resource ID: {resource}, "
            f"scalable dimension: {DIMENSION}, policy name: {request['PolicyName']}",
        )
    cloud.store.delete(POLICIES, name)
    target_tracking.delete_alarms(cloud, policy)
    return {}


def describe_scaling_activities(cloud: Cloud, request: Request) -> Response:
    """DescribeScalingActivities, the newest first."""
    resource = request.get("ResourceId")
    activities = [
        target_tracking.settled(cloud, activity)
        for activity in reversed(of_dimension(cloud, ACTIVITIES, request))
        if resource in (None, activity["ResourceId"])
    ]
    return page(activities, request, "ScalingActivities")


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
    for policy in cloud.store.all(POLICIES):  # whose alarms CloudWatch may have lost if the server was killed
        try:
            target_tracking.put_alarms(cloud, policy)
        except (BotoCoreError, ClientError) as error:
            log.warning("The alarms of policy %s are not there: %s", policy["PolicyName"], error)
    for minute in every_minute(_stop, late=0.5):
        target_tracking.follow(cloud, minute)


def resource_of(request: Request) -> str:
    """The variant that a request is about. ValidationException when it is about anything else."""
    resource: str = request["ResourceId"]
    if request["ServiceNamespace"] != NAMESPACE or request["ScalableDimension"] != DIMENSION:
        raise AwsError("ValidationException", f"The local AWS scales only {NAMESPACE}, and there only {DIMENSION}.")
    if not RESOURCE.fullmatch(resource):
        raise AwsError(
            "ValidationException", f"The resource ID {resource} is not of the form endpoint/<name>/variant/<name>."
        )
    return resource


def registered(cloud: Cloud, resource: str) -> Document:
    """A variant's scalable target. ObjectNotFoundException when it is none."""
    target = cloud.store.get(TARGETS, resource)
    if target is None:
        raise AwsError(
            "ObjectNotFoundException",
            f"No scalable target registered for service namespace: {NAMESPACE}, resource ID: {resource}, "
            f"scalable dimension: {DIMENSION}",
        )
    return target


def check_bounds(bounds: Document) -> None:
    """ValidationException for bounds, one of which may be missing, that a variant cannot have."""
    least, most = bounds.get("MinCapacity", 1), bounds.get("MaxCapacity", LARGEST_CAPACITY)
    if least > most:
        raise AwsError(
            "ValidationException", f"Minimum capacity {least} must not be greater than maximum capacity {most}."
        )
    if least < 1:
        raise AwsError("ValidationException", f"Capacity {least} is too small: a variant has at least one instance.")


def set_bounds(cloud: Cloud, target: Document) -> None:
    """Store a target whose bounds are new, and bring its variant inside them, at once if the endpoint can change."""
    target["BoundsDue"] = True
    if not cloud.store.add(TARGETS, target["ResourceId"], target):
        cloud.store.update(TARGETS, target["ResourceId"], **target)
    with contextlib.suppress(ClientError):  # the endpoint began to change just now: the next minute sees to it
        target_tracking.keep_bounds(cloud, target)


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
    if not LEAST_TARGET <= configuration["TargetValue"] <= GREATEST_TARGET:
        raise AwsError("ValidationException", f"The TargetValue must be from {LEAST_TARGET} to {GREATEST_TARGET}.")
    return configuration


def of_dimension(cloud: Cloud, kind: str, request: Request) -> list[Document]:
    """The documents of a kind, none when a request asks for another service or dimension."""
    if request["ServiceNamespace"] != NAMESPACE or request.get("ScalableDimension", DIMENSION) != DIMENSION:
        return []
    return cloud.store.all(kind)


def page(documents: list[Document], request: Request, into: str) -> Response:
    """The part of a listing that a request asks for. InvalidNextTokenException for a token of another one."""
    if not 1 <= request.get("MaxResults", PAGE) <= PAGE:
        raise AwsError("ValidationException", f"MaxResults must be from 1 to {PAGE}.")
    found, more = paging.page(documents, request, PAGE, "InvalidNextTokenException")
    shown = [
        {key: value for key, value in document.items() if key not in target_tracking.PRIVATE} for document in found
    ]
    return {into: shown, **more}


def _alarm(cloud: Cloud, resource: str, kind: str) -> dict[str, str]:
    """An alarm's name as AWS gives it."""
    name = f"TargetTracking-{resource}-Alarm{kind}-{uuid.uuid4()}"
    return {"AlarmName": name, "AlarmARN": cloud.arn("cloudwatch", f"alarm:{name}")}


def _forget_target(cloud: Cloud, resource: str) -> None:
    for policy in cloud.store.all(POLICIES):
        if policy["ResourceId"] == resource:
            cloud.store.delete(POLICIES, f"{resource}:{policy['PolicyName']}")
            target_tracking.delete_alarms(cloud, policy)
    for action in cloud.store.all(SCHEDULED):
        if action["ResourceId"] == resource:
            cloud.store.delete(SCHEDULED, f"{resource}:{action['ScheduledActionName']}")
    cloud.store.delete(TARGETS, resource)


SIMPLIFIED: dict[str, str] = {
    "RegisterScalableTarget": "Of the namespace sagemaker, and there of sagemaker:variant:DesiredInstanceCount, only.",
    "PutScalingPolicy": "TargetTrackingScaling only, on the predefined metric SageMakerVariantInvocationsPerInstance "
    "or one customized metric; metric math, step and predictive scaling are refused. LOCALAWS_CLOCK_SPEED shortens "
    "the alarms' minutes and the cooldowns.",
    "DescribeScalingActivities": "Activities that did not scale (IncludeNotScaledActivities) are not recorded.",
}

OPERATIONS: dict[str, Handler] = {
    "RegisterScalableTarget": register_scalable_target,
    "DescribeScalableTargets": describe_scalable_targets,
    "DeregisterScalableTarget": deregister_scalable_target,
    "PutScalingPolicy": put_scaling_policy,
    "DescribeScalingPolicies": describe_scaling_policies,
    "DeleteScalingPolicy": delete_scaling_policy,
    "DescribeScalingActivities": describe_scaling_activities,
}
