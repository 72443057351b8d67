"""Metrics read from a job's output by the regular expressions of its request."""

import logging
import math
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.cloud import now
from localaws.errors import AwsError

log = logging.getLogger(__name__)

OnValue = Callable[[str, float], None]


def check_definitions(definitions: Sequence[dict[str, str]]) -> None:
    """ValidationException for an expression that is none."""
    for definition in definitions:
        try:
            re.compile(definition["Regex"])
        except re.error as error:
            message = f"The regular expression of the metric {definition['Name']} is invalid: {error}"
            raise AwsError("ValidationException", message) from None


class Metrics:
    """The last value of each metric; `on_value` hears of every one. A value is the expression's first group."""

    def __init__(self, definitions: Sequence[dict[str, str]], on_value: OnValue) -> None:
        self._patterns = [(definition["Name"], re.compile(definition["Regex"])) for definition in definitions]
        self._on_value = on_value
        self._lock = threading.Lock()
        self._last: dict[str, dict[str, Any]] = {}
        self._unpublished: dict[str, dict[str, float]] = {}

    def read(self, line: str) -> None:
        """Take the values out of a line."""
        for name, pattern in self._patterns:
            for match in pattern.finditer(line):
                value = _number(match[1] if pattern.groups else match[0])
                if value is not None:
                    self._note(name, value)
                    self._on_value(name, value)

    def final(self) -> list[dict[str, Any]]:
        """SageMaker's FinalMetricDataList."""
        return list(self._last.values())

    def publish(self, cloudwatch: Any, namespace: str, dimensions: Sequence[dict[str, str]]) -> None:
        """Send what came since the last time to CloudWatch: of each metric one set of statistics."""
        with self._lock:
            unpublished, self._unpublished = self._unpublished, {}
        data = [
            {"MetricName": name, "Dimensions": dimensions, "Timestamp": now(), "StatisticValues": statistics}
            for name, statistics in unpublished.items()
        ]
        try:
            if data:
                cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)
        except (BotoCoreError, ClientError) as error:
            log.info("%s of %s: %s", namespace, dimensions, error)

    def _note(self, name: str, value: float) -> None:
        with self._lock:
            self._last[name] = {"MetricName": name, "Value": value, "Timestamp": now()}
            before = self._unpublished.get(name, {"SampleCount": 0, "Sum": 0, "Minimum": value, "Maximum": value})
            self._unpublished[name] = {
                "SampleCount": before["SampleCount"] + 1,
                "Sum": before["Sum"] + value,
                "Minimum": min(before["Minimum"], value),
                "Maximum": max(before["Maximum"], value),
            }


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
