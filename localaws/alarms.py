"""CloudWatch alarms as CloudWatch evaluates them: by dimensions, period by period, M of N, missing data as asked.

MiniStack's own evaluator takes every dimension of a metric for one, and all periods together for one datapoint. As it
was, this one is called when data come in. The rules are those of CloudWatch's user guide, "Evaluating an alarm".
"""

import operator
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from ministack.services import cloudwatch

from localaws.clock import shortened

SPARE_PERIODS = 2  # looked at beyond those that are evaluated, for when the newest ones have no data
BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


def evaluate(alarm: dict[str, Any]) -> None:
    """Bring an alarm on one metric into the state that its data ask for; one whose metric has no data stays."""
    dimensions = cloudwatch._dims_key(cloudwatch._dims_from_list(alarm.get("Dimensions") or []))
    points = cloudwatch._metrics.get((alarm.get("Namespace"), alarm.get("MetricName"), dimensions))
    if not points or alarm.get("ComparisonOperator") not in BREACHES:
        return
    values = _values(alarm, points)
    new = state(alarm, values)
    if new is None or new == alarm["StateValue"]:
        return
    old, alarm["StateValue"] = alarm["StateValue"], new
    newest = f"{values[-1]:g}" if values else "none"
    alarm["StateReason"] = (
        f"Threshold Crossed: {len(values)} datapoints, the newest {newest}, "
        f"{alarm['ComparisonOperator']} {alarm['Threshold']:g}"
    )
    alarm["StateUpdatedTimestamp"] = int(time.time())
    cloudwatch._record_history(alarm["AlarmName"], old, new, alarm["StateReason"])
    cloudwatch._dispatch_alarm_actions(alarm, old, new, alarm["StateReason"])
    cloudwatch._evaluate_parent_alarms(alarm)


def state(alarm: dict[str, Any], values: Sequence[float]) -> str | None:
    """The state for the newest datapoints, as many as there are of EvaluationPeriods; None: as it was."""
    periods = alarm.get("EvaluationPeriods", 1)
    needed = alarm.get("DatapointsToAlarm") or periods
    missing = periods - len(values)
    breaching = sum(BREACHES[alarm["ComparisonOperator"]](value, alarm["Threshold"]) for value in values)
    fine = len(values) - breaching
    treatment = alarm.get("TreatMissingData") or "missing"
    if not values and treatment == "missing":
        return "INSUFFICIENT_DATA"
    breaching += missing if treatment == "breaching" else 0
    fine += missing if treatment == "notBreaching" else 0
    if breaching >= needed:
        return "ALARM"
    return "OK" if fine > periods - needed else None


def _values(alarm: dict[str, Any], points: list[dict[str, Any]]) -> list[float]:
    """The alarm's statistic in the newest periods that have data, oldest first."""
    length = max(1.0, shortened(alarm.get("Period", 60)))
    periods = alarm.get("EvaluationPeriods", 1)
    oldest = time.time() // length - periods - SPARE_PERIODS + 1
    by_period: defaultdict[float, list[dict[str, Any]]] = defaultdict(list)
    for point in points:
        if (period := point["Timestamp"] // length) >= oldest:
            by_period[period].append(point)
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic", "Average")
    newest = [by_period[period] for period in sorted(by_period)[-periods:]]
    values = (cloudwatch._stat_value(cloudwatch._calc_stats(of), statistic, of) for of in newest)
    return [float(value) for value in values if value is not None]
