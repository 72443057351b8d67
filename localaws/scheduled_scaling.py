"""Scheduled actions of Application Auto Scaling: other bounds for a scalable target, at times that a schedule gives."""

import logging
import threading
import time
import uuid

from botocore.exceptions import BotoCoreError, ClientError

from localaws import autoscaling, target_tracking
from localaws.cloud import Cloud, Handler, Request, Response, now
from localaws.errors import AwsError
from localaws.schedules import Due, parse
from localaws.store import Document
from localaws.target_tracking import SCHEDULED, TARGETS

LOOK_SECONDS = 1.0  # between two looks at what is due
MEMBERS = ("Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")

log = logging.getLogger(__name__)
_stop = threading.Event()


def put_scheduled_action(cloud: Cloud, request: Request) -> Response:
    """PutScheduledAction: new, or changed where a member is given."""
    resource = autoscaling.resource_of(request)
    autoscaling.registered(cloud, resource)
    name = f"{resource}:{request['ScheduledActionName']}"
    action: Document = {
        "ScheduledActionName": request["ScheduledActionName"],
        "ScheduledActionARN": cloud.arn(
            "autoscaling",
            f"scheduledAction:{uuid.uuid4()}:resource/{autoscaling.NAMESPACE}/{resource}"
            f":scheduledActionName/{request['ScheduledActionName']}",
        ),
        "ServiceNamespace": autoscaling.NAMESPACE,
        "ResourceId": resource,
        "ScalableDimension": autoscaling.DIMENSION,
        "CreationTime": now(),
        **(cloud.store.get(SCHEDULED, name) or {}),
    }
    action |= {member: request[member] for member in MEMBERS if member in request}
    _check(action)
    if not cloud.store.add(SCHEDULED, name, action):
        cloud.store.update(SCHEDULED, name, **action)
    return {}


def describe_scheduled_actions(cloud: Cloud, request: Request) -> Response:
    """DescribeScheduledActions."""
    names, resource = request.get("ScheduledActionNames"), request.get("ResourceId")
    actions = [
        action
        for action in autoscaling.of_dimension(cloud, SCHEDULED, request)
        if (not names or action["ScheduledActionName"] in names) and resource in (None, action["ResourceId"])
    ]
    return autoscaling.page(actions, request, "ScheduledActions")


def delete_scheduled_action(cloud: Cloud, request: Request) -> Response:
    """DeleteScheduledAction."""
    resource, name = autoscaling.resource_of(request), request["ScheduledActionName"]
    if not cloud.store.delete(SCHEDULED, f"{resource}:{name}"):
        raise AwsError(
            "ObjectNotFoundException",
            f"No scheduled action found for service namespace: {autoscaling.NAMESPACE}, resource ID: {resource}, "
            f"scalable dimension: {autoscaling.DIMENSION}, scheduled action name: {name}",
        )
    return {}


def recover(cloud: Cloud) -> None:
    """Carry out from now on what is due; what was due while nothing ran is not made up for."""
    _stop.clear()
    threading.Thread(target=_follow, args=(cloud,), name="scheduled scaling", daemon=True).start()


def shutdown(cloud: Cloud) -> None:
    """Carry out nothing more."""
    _stop.set()


def carry_out(cloud: Cloud, after: float, until: float) -> None:
    """Carry out every action that is due after the one time and not after the other."""
    for action in cloud.store.all(SCHEDULED):
        target = cloud.store.get(TARGETS, action["ResourceId"])
        begin = max(after, action.get("StartTime", 0) - LOOK_SECONDS, action["CreationTime"])
        end = min(until, action.get("EndTime", until))
        if not target or target["SuspendedState"]["ScheduledScalingSuspended"] or not _due(action)(begin, end):
            continue
        try:
            _apply(cloud, target, action)
        except (AwsError, BotoCoreError, ClientError) as error:
            log.warning("The scheduled action %s failed: %s", action["ScheduledActionName"], error)


def _apply(cloud: Cloud, target: Document, action: Document) -> None:
    target |= action["ScalableTargetAction"]
    least, most = target["MinCapacity"], target["MaxCapacity"]
    change = f"min capacity to {least} and max capacity to {most}"
    possible = least <= most
    target_tracking.record(
        cloud,
        target,
        f"Setting {change}",
        f"scheduled action name {action['ScheduledActionName']} was triggered",
        EndTime=now(),
        StatusCode="Successful" if possible else "Failed",
        StatusMessage=f"Successfully set {change}" if possible else "The minimum capacity is above the maximum.",
    )
    if possible:
        autoscaling.set_bounds(cloud, target)


def _follow(cloud: Cloud) -> None:
    after = time.time()
    while not _stop.wait(LOOK_SECONDS):
        until = time.time()
        carry_out(cloud, after, until)
        after = until


def _due(action: Document) -> Due:
    anchor: float = action["StartTime"] if "StartTime" in action else action["CreationTime"]
    return parse(action["Schedule"], action.get("Timezone", "UTC"), anchor)


def _check(action: Document) -> None:
    if "Schedule" not in action or not action.get("ScalableTargetAction"):
        raise _invalid("A new scheduled action needs a Schedule and a ScalableTargetAction with a capacity.")
    if action.get("StartTime", 0) >= action.get("EndTime", float("inf")):
        raise _invalid("The StartTime must be before the EndTime.")
    autoscaling.check_bounds(action["ScalableTargetAction"])
    try:
        due = _due(action)
    except ValueError as error:
        raise _invalid(f"The schedule cannot be followed: {error}.") from error
    if action["Schedule"].startswith("at(") and due(0, time.time()):
        raise _invalid(f"The time of {action['Schedule']} is over.")


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


SIMPLIFIED: dict[str, str] = {
    "PutScheduledAction": "Of cron expressions L, W and # are refused; a rate runs on the clock that "
    "LOCALAWS_CLOCK_SPEED makes faster.",
}

OPERATIONS: dict[str, Handler] = {
    "PutScheduledAction": put_scheduled_action,
    "DescribeScheduledActions": describe_scheduled_actions,
    "DeleteScheduledAction": delete_scheduled_action,
}
