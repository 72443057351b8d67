"""Blue/green: how an endpoint's traffic goes over to a new fleet, and what makes it come back.

The steps and waits are those of SageMaker's deployment guardrails: all at once, a canary and then the rest, or equal
steps; between steps, and before the old fleet goes, the deployment's alarms are watched.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.clock import shortened
from localaws.cloud import Cloud, now
from localaws.errors import AwsError
from localaws.jobs.clients import root_client
from localaws.serving import fleet
from localaws.serving.fleet import router
from localaws.serving.router import Fleet
from localaws.store import Document

LOOK_SECONDS = 0.5  # between two looks at the alarms
SIZES = {"CANARY": ("CanarySize", 1), "LINEAR": ("LinearStepSize", 10)}  # the member, its least percentage
LARGEST_PERCENT = 50


class RolledBackError(Exception):
    """The traffic was sent back; the message is the endpoint's FailureReason."""


def check(cloud: Cloud, config: Document | None, instances: int) -> None:
    """ValidationException for a DeploymentConfig that cannot be followed with so many new instances."""
    config = config or {}
    if "RollingUpdatePolicy" in config:
        raise _invalid("RollingUpdatePolicy is not built in the local AWS; give a BlueGreenUpdatePolicy.")
    policy = config.get("BlueGreenUpdatePolicy", {})
    steps(policy, instances)
    timeout = policy.get("MaximumExecutionTimeoutInSeconds")
    waits = sum(_waits(policy, steps(policy, instances)))
    if timeout is not None and timeout <= waits:
        raise _invalid(f"MaximumExecutionTimeoutInSeconds must be more than all the waiting: {timeout}, {waits} s.")
    names = _alarm_names(config)
    if absent := set(names) - {alarm["AlarmName"] for alarm in _alarms(root_client(cloud, "cloudwatch"), names)}:
        raise _invalid(f"Could not find the CloudWatch alarms {', '.join(sorted(absent))}.")


def steps(policy: Document, instances: int) -> list[float]:
    """The shares of the traffic that a new fleet of so many instances gets, one after the other; the last is 1.

    ValidationException when a step is missing or of a size that SageMaker does not take.
    """
    routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
    kind = routing["Type"]
    wrong = [member for member, _ in SIZES.values() if member in routing and SIZES.get(kind, ("",))[0] != member]
    if wrong:
        raise _invalid(f"{wrong[0]} does not go with the traffic routing type {kind}.")
    if kind == "ALL_AT_ONCE":
        return [1.0]
    member, least = SIZES[kind]
    if member not in routing:
        raise _invalid(f"The traffic routing type {kind} needs a {member}.")
    size = routing[member]
    share = size["Value"] / (100 if size["Type"] == "CAPACITY_PERCENT" else max(1, instances))
    if not least <= 100 * share <= LARGEST_PERCENT:
        raise _invalid(f"{member} must be from {least} to {LARGEST_PERCENT} percent of the {instances} instances.")
    if kind == "CANARY":
        return [share, 1.0]
    return [min(1.0, share * step) for step in range(1, math.ceil(1 / share) + 1)]


def shift(
    cloudwatch: Any, endpoint: str, new: Fleet, config: Document | None, began: float, report: Callable[[str], None]
) -> None:
    """Give the new fleet all the traffic, step by step, and wait as long as the old one is to stand by.

    The deployment `began` at that time; `report` is told each VariantStatus. `cloudwatch` is a client with the rights
    of the model's role. RolledBackError when one of the alarms is in ALARM or cannot be read, or it takes too long:
    then the new fleet gets no traffic any more. Stopped when the server ends meanwhile.
    """
    config = config or {}
    policy = config.get("BlueGreenUpdatePolicy", {})
    shares = steps(policy, sum(len(pool.instances) for pool in new.values()))
    deadline = began + policy.get("MaximumExecutionTimeoutInSeconds", math.inf)
    for share, wait in zip(shares, _waits(policy, shares), strict=True):
        report("ActivatingTraffic")
        router.shift(endpoint, new, share)
        report("Baking")
        try:
            _bake(cloudwatch, _alarm_names(config), shortened(wait), deadline)
        except RolledBackError:
            router.withdraw(endpoint)
            raise


def _waits(policy: Document, shares: Sequence[float]) -> list[int]:
    """Seconds after each step: the interval, and after the last one the time until the old fleet goes."""
    interval = policy.get("TrafficRoutingConfiguration", {}).get("WaitIntervalInSeconds", 0)
    return [interval] * (len(shares) - 1) + [policy.get("TerminationWaitInSeconds", 0)]


def _bake(cloudwatch: Any, alarms: Sequence[str], seconds: float, deadline: float) -> None:
    end = time.monotonic() + seconds
    while True:
        if now() > deadline:
            raise RolledBackError("The deployment was rolled back: its MaximumExecutionTimeoutInSeconds are over.")
        try:
            states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in _alarms(cloudwatch, alarms)}
        except (BotoCoreError, ClientError) as error:
            raise RolledBackError(f"The deployment was rolled back: its alarms cannot be read: {error}") from error
        tripped = [name for name, state in states.items() if state == "ALARM"]
        if tripped:
            raise RolledBackError(f"The deployment was rolled back: in ALARM were {', '.join(tripped)}.")
        left = end - time.monotonic()
        if left <= 0:
            return
        fleet.pause(min(LOOK_SECONDS, left) if alarms else left)


def _alarm_names(config: Document) -> list[str]:
    return [alarm["AlarmName"] for alarm in config.get("AutoRollbackConfiguration", {}).get("Alarms", [])]


def _alarms(cloudwatch: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    if not names:
        return []
    kinds = ["MetricAlarm", "CompositeAlarm"]
    answer = cloudwatch.describe_alarms(AlarmNames=list(names), AlarmTypes=kinds)
    return [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)
