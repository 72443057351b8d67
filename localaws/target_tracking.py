"""Target tracking: the number of instances that keeps a metric near its target.

As Application Auto Scaling does it (its user guide, "How target tracking scaling works"): out when the metric was above
the target for three minutes, in when it was below nine tenths of it for fifteen, to the count at which the metric would
have met the target; never past the bounds, and not within the cooldown of the last change in the same direction.
"""

import datetime
import logging
import math
import uuid
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.clock import minute_seconds
from localaws.cloud import Cloud, now
from localaws.errors import AwsError
from localaws.jobs.clients import root_client
from localaws.store import Document

TARGETS, POLICIES, ACTIVITIES = "scalable-target", "scaling-policy", "scaling-activity"
PRIVATE = frozenset({"LastScaleOut", "LastScaleIn", "Count"})
OUT_MINUTES, IN_MINUTES = 3, 15
IN_SHARE = 0.9
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


def keep_bounds(cloud: Cloud, target: Document) -> None:
    """Bring a variant's capacity inside its target's bounds, once the endpoint can change."""
    for activity in cloud.store.all(ACTIVITIES):  # while what they led to can still be seen
        if activity["ResourceId"] == target["ResourceId"]:
            settled(cloud, activity)
    status, current = variant(cloud, target["ResourceId"])
    count = current["DesiredInstanceCount"]
    inside = min(max(count, target["MinCapacity"]), target["MaxCapacity"])
    if status == "InService" and inside != count:
        bound = "minimum" if inside > count else "maximum"
        _scale(cloud, target, inside, f"{bound} capacity was set to {inside}")


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
    wishes = [(desired(_datapoints(cloud, policy, minute), _goal(policy), count), policy) for policy in policies]
    wish, policy = max(wishes, key=lambda pair: pair[0])
    wish = min(max(wish, target["MinCapacity"]), target["MaxCapacity"])
    configuration = policy["TargetTrackingScalingPolicyConfiguration"]
    direction = "Out" if wish > count else "In"
    if (
        wish == count
        or (direction == "In" and configuration.get("DisableScaleIn"))
        or target["SuspendedState"][f"DynamicScaling{direction}Suspended"]
        or _is_cooling_down(target, configuration, direction)
    ):
        return
    _scale(cloud, target, wish, f"policy {policy['PolicyName']} with the target {_goal(policy):g}")
    cloud.store.update(TARGETS, target["ResourceId"], **{f"LastScale{direction}": now()})


def _is_cooling_down(target: Document, configuration: dict[str, Any], direction: str) -> bool:
    cooldown: float = configuration.get(f"Scale{direction}Cooldown", COOLDOWN_SECONDS) * minute_seconds() / 60
    last: float = target.get(f"LastScale{direction}", 0)
    return now() < last + cooldown


def desired(points: Sequence[float | None], goal: float, count: int) -> int:
    """How many instances a metric's last minutes (None: no data) ask for, now that there are `count`."""
    recent = [point for point in points[-OUT_MINUTES:] if point is not None]
    if len(recent) == OUT_MINUTES and min(recent) > goal:
        return math.ceil(count * recent[-1] / goal)
    whole = [point for point in points[-IN_MINUTES:] if point is not None]
    if len(whole) == IN_MINUTES and max(whole) < IN_SHARE * goal:
        return math.ceil(count * max(whole) / goal)
    return count


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


def _scale(cloud: Cloud, target: Document, count: int, cause: str) -> None:
    _, endpoint, _, name = target["ResourceId"].split("/")
    activity = {
        "ActivityId": str(uuid.uuid4()),
        **{key: target[key] for key in ("ServiceNamespace", "ResourceId", "ScalableDimension")},
        "Description": f"Setting desired instance count to {count}.",
        "Cause": cause,
        "StartTime": now(),
        "StatusCode": "InProgress",
        "Count": count,
    }
    root_client(cloud, "sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=endpoint, DesiredWeightsAndCapacities=[{"VariantName": name, "DesiredInstanceCount": count}]
    )
    cloud.store.add(ACTIVITIES, activity["ActivityId"], activity)
