"""Target tracking: the number of instances that keeps a metric near its target.

As Application Auto Scaling does it (its user guide, "How target tracking scaling works"), by two CloudWatch alarms for
each policy: out when the metric was above the target for three minutes, in when it was below nine tenths of it for
fifteen, to the count at which the metric would have met the target; never past the bounds, and not within the cooldown
of the last change in the same direction.
"""

import contextlib
import datetime
import logging
import math
import uuid
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.clock import minute_seconds, shortened
from localaws.cloud import Cloud, now
from localaws.errors import AwsError
from localaws.jobs.clients import root_client
from localaws.store import Document

TARGETS, POLICIES, ACTIVITIES = "scalable-target", "scaling-policy", "scaling-activity"
SCHEDULED = "scheduled-action"
PRIVATE = frozenset({"LastScaleOut", "LastScaleIn", "BoundsDue", "Count"})
IN_MINUTES = 15
# Of each alarm: its minutes, its threshold's share of the target, and when it is over that.
ALARMS = {"High": (3, 1.0, "GreaterThanThreshold"), "Low": (IN_MINUTES, 0.9, "LessThanThreshold")}
COOLDOWN_SECONDS = 300

log = logging.getLogger(__name__)


def variant(cloud: Cloud, resource: str) -> tuple[str, dict[str, Any]]:
    """A resource's endpoint status, and its variant as DescribeEndpoint shows it. ValidationException without one."""
    _, endpoint, _, name = resource.split("/")
    try:
        answer = root_client(cloud, "sagemaker").describe_endpoint(EndpointName=endpoint)
    except ClientError as error:
        raise AwsError("ValidationException", error.response["Error"]["Message"]) from error
    found = next((one for one in answer.get("ProductionVariants", ()) if one["VariantName"] == name), None)
    if found is None:
        raise AwsError("ValidationException", f"The endpoint {endpoint} has no variant {name}.")
    return answer["EndpointStatus"], found


def put_alarms(cloud: Cloud, policy: Document) -> None:
    """Make a policy's alarms in CloudWatch, or change them to its target; they keep their states."""
    metric = _metric(policy)
    [statistic] = metric.pop("Statistics")
    for alarm, (minutes, share, comparison) in zip(policy["Alarms"], ALARMS.values(), strict=True):
        root_client(cloud, "cloudwatch").put_metric_alarm(
            AlarmName=alarm["AlarmName"],
            AlarmDescription=f"Of the target tracking policy {policy['PolicyARN']}, which changes and deletes it.",
            AlarmActions=[policy["PolicyARN"]],
            **metric,
            Statistic=statistic,
            Period=60,
            EvaluationPeriods=minutes,
            Threshold=share * _goal(policy),
            ComparisonOperator=comparison,
        )


def delete_alarms(cloud: Cloud, policy: Document) -> None:
    """Delete a policy's alarms."""
    names = [alarm["AlarmName"] for alarm in policy["Alarms"]]
    root_client(cloud, "cloudwatch").delete_alarms(AlarmNames=names)


def keep_bounds(cloud: Cloud, target: Document) -> None:
    """Bring a variant's capacity inside its target's bounds, if those are new and the endpoint can change.

    Capacity that was set by hand may be outside until a policy or new bounds change it.
    """
    for activity in cloud.store.all(ACTIVITIES):  # while what they led to can still be seen
        if activity["ResourceId"] == target["ResourceId"]:
            settled(cloud, activity)
    if not target.get("BoundsDue"):
        return
    status, current = variant(cloud, target["ResourceId"])
    count = current["DesiredInstanceCount"]
    inside = min(max(count, target["MinCapacity"]), target["MaxCapacity"])
    if status != "InService":
        return
    if inside != count:
        bound = "minimum" if inside > count else "maximum"
        _scale(cloud, target, inside, f"{bound} capacity was set to {inside}")
    _note(cloud, target, BoundsDue=False)


def follow(cloud: Cloud, minute: float) -> None:
    """Look at every target after the minute that began at `minute`; what cannot be done then is left for the next."""
    for target in cloud.store.all(TARGETS):
        try:
            keep_bounds(cloud, target)
            _track(cloud, target, minute)
        except (AwsError, BotoCoreError, ClientError) as error:
            log.warning("%s was not scaled: %s", target["ResourceId"], error)


def settled(cloud: Cloud, activity: Document) -> Document:
    """An activity; one that was in progress is completed first if its endpoint has come to rest."""
    if activity["StatusCode"] != "InProgress":
        return activity
    try:
        status, current = variant(cloud, activity["ResourceId"])
    except AwsError:  # deleted meanwhile
        status, current = "Failed", {}
    if status == "Updating":
        return activity
    if current.get("CurrentInstanceCount") == activity["Count"]:
        code, message = "Successful", f"Successfully set desired instance count to {activity['Count']}."
    else:
        code, message = "Failed", f"The endpoint did not get {activity['Count']} instances; its FailureReason says why."
    return cloud.store.update(ACTIVITIES, activity["ActivityId"], StatusCode=code, StatusMessage=message, EndTime=now())


def _track(cloud: Cloud, target: Document, minute: float) -> None:
    """Follow all policies of a target: out if any wants it, in only if all do, as far as the largest wish."""
    policies = [one for one in cloud.store.all(POLICIES) if one["ResourceId"] == target["ResourceId"]]
    status, current = variant(cloud, target["ResourceId"])
    if status != "InService" or not policies:
        return
    count = current["DesiredInstanceCount"]
    alarms = {policy["PolicyName"]: _alarm(cloud, policy) for policy in policies}
    wishes = [
        (desired(alarms[policy["PolicyName"]], _datapoints(cloud, policy, minute), _goal(policy), count), policy)
        for policy in policies
    ]
    wish, policy = max(wishes, key=lambda pair: pair[0])
    configuration = policy["TargetTrackingScalingPolicyConfiguration"]
    direction = "Out" if wish > count else "In"
    inside = min(max(wish, target["MinCapacity"]), target["MaxCapacity"])
    if (
        wish == count
        or (inside <= count if direction == "Out" else inside >= count)
        or (direction == "In" and configuration.get("DisableScaleIn"))
        or target["SuspendedState"][f"DynamicScaling{direction}Suspended"]
        or _is_cooling_down(target, configuration, direction)
    ):
        return
    alarm = policy["Alarms"][list(ALARMS).index(alarms[policy["PolicyName"]] or "High")]["AlarmName"]
    _scale(cloud, target, inside, f"monitor alarm {alarm} in state ALARM triggered policy {policy['PolicyName']}")
    _note(cloud, target, **{f"LastScale{direction}": now()})


def _is_cooling_down(target: Document, configuration: dict[str, Any], direction: str) -> bool:
    cooldown = shortened(configuration.get(f"Scale{direction}Cooldown", COOLDOWN_SECONDS))
    last: float = target.get(f"LastScale{direction}", 0)
    return now() < last + cooldown


def desired(alarm: str | None, points: Sequence[float | None], goal: float, count: int) -> int:
    """How many instances the alarm ("High", "Low") that is in ALARM asks for, now that there are `count`.

    `points` are the metric's last fifteen minutes (None: no data): out to where the last one would have met the goal,
    in to where the busiest one would have.
    """
    known = [point for point in points if point is not None]
    if alarm is None or not known:
        return count
    if alarm == "High":
        return max(count, math.ceil(count * known[-1] / goal))
    return min(count, math.ceil(count * max(known) / goal))


def _alarm(cloud: Cloud, policy: Document) -> str | None:
    """Which of a policy's alarms is in ALARM."""
    names = {alarm["AlarmName"]: kind for alarm, kind in zip(policy["Alarms"], ALARMS, strict=True)}
    alarms = root_client(cloud, "cloudwatch").describe_alarms(AlarmNames=list(names))["MetricAlarms"]
    return next((names[alarm["AlarmName"]] for alarm in alarms if alarm["StateValue"] == "ALARM"), None)


def _datapoints(cloud: Cloud, policy: Document, minute: float) -> list[float | None]:
    length = minute_seconds()
    starts = [minute - length * back for back in reversed(range(IN_MINUTES))]
    metric = _metric(policy)
    answer = root_client(cloud, "cloudwatch").get_metric_statistics(
        **metric,
        StartTime=datetime.datetime.fromtimestamp(starts[0], datetime.UTC),
        EndTime=datetime.datetime.fromtimestamp(minute + length, datetime.UTC),
        Period=length,
    )
    values = {point["Timestamp"].timestamp(): point[metric["Statistics"][0]] for point in answer["Datapoints"]}
    return [values.get(start) for start in starts]


def _goal(policy: Document) -> float:
    goal: float = policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]
    return goal


def _metric(policy: Document) -> dict[str, Any]:
    customized = policy["TargetTrackingScalingPolicyConfiguration"].get("CustomizedMetricSpecification")
    if customized:
        return {
            "Namespace": customized["Namespace"],
            "MetricName": customized["MetricName"],
            "Dimensions": customized.get("Dimensions", []),
            "Statistics": [customized["Statistic"]],
        }
    _, endpoint, _, name = policy["ResourceId"].split("/")
    return {
        "Namespace": "AWS/SageMaker",
        "MetricName": "InvocationsPerInstance",
        "Dimensions": [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": name}],
        "Statistics": ["Sum"],
    }


def record(cloud: Cloud, target: Document, description: str, cause: str, **members: Any) -> None:
    """Add an activity to a target's list."""
    activity = {
        "ActivityId": str(uuid.uuid4()),
        **{key: target[key] for key in ("ServiceNamespace", "ResourceId", "ScalableDimension")},
        "Description": description,
        "Cause": cause,
        "StartTime": now(),
        **members,
    }
    cloud.store.add(ACTIVITIES, activity["ActivityId"], activity)


def _note(cloud: Cloud, target: Document, **members: Any) -> None:
    with contextlib.suppress(KeyError):  # deregistered meanwhile
        cloud.store.update(TARGETS, target["ResourceId"], **members)


def _scale(cloud: Cloud, target: Document, count: int, cause: str) -> None:
    _, endpoint, _, name = target["ResourceId"].split("/")
    root_client(cloud, "sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=endpoint, DesiredWeightsAndCapacities=[{"VariantName": name, "DesiredInstanceCount": count}]
    )
    record(
        cloud,
        target,
        f"Setting desired instance count to {count}.",
        cause,
        StatusCode="InProgress",
        Count=count,
    )
