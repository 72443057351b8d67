"""Managed Spot training: when a job's instances are taken back, and for how long.

Here there is always capacity; two settings in a job's own Environment make an interruption: LOCALAWS_INTERRUPT_AFTER so
many seconds of training (once), until there are new instances after LOCALAWS_INTERRUPT_FOR seconds (0 if not given).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localaws.store import Document

AFTER = "LOCALAWS_INTERRUPT_AFTER"
FOR = "LOCALAWS_INTERRUPT_FOR"
MAX_RUNTIME = 86400  # seconds, when a job has no StoppingCondition
PRICE = 0.3  # of what the same time costs on demand


@dataclass(frozen=True)
class Spot:
    """`after` and `gone`: seconds of training until the interruption, and of waiting then. `deadline`: of it all."""

    after: float
    gone: float
    deadline: float

    @classmethod
    def of(cls, document: Document) -> "Spot":
        """Of a training job's record; for one that is no Spot training all of it is never."""
        environment = document.get("Environment", {})
        wait = document["StoppingCondition"].get("MaxWaitTimeInSeconds", math.inf)
        return cls(
            float(environment.get(AFTER, math.inf)), float(environment.get(FOR, 0)), document["CreationTime"] + wait
        )


def problem(definition: Mapping[str, Any]) -> str | None:
    """What is wrong with the waiting time or the interruption that a job asks for."""
    spot, stopping = definition.get("EnableManagedSpotTraining", False), definition.get("StoppingCondition", {})
    wait, environment = stopping.get("MaxWaitTimeInSeconds"), definition.get("Environment", {})
    if wait is not None and not spot:
        return "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true"
    if spot and (wait or 0) < stopping.get("MaxRuntimeInSeconds", MAX_RUNTIME):
        return "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
    for name in (AFTER, FOR):
        if name in environment and not (spot and environment[name].isdecimal() and int(environment[name])):
            return f"{name} takes whole seconds, at least 1, and needs EnableManagedSpotTraining."
    return None


def billable_seconds(document: Document, seconds: int) -> int:
    """BillableTimeInSeconds of a job that took so long: Spot instances cost less, and waiting for them nothing."""
    if not document.get("EnableManagedSpotTraining"):
        return seconds
    waits = (entry for entry in document["SecondaryStatusTransitions"] if entry["Status"] == "Interrupted")
    waited = sum(entry["EndTime"] - entry["StartTime"] for entry in waits if "EndTime" in entry)
    return max(1, int((seconds - waited) * PRICE))
