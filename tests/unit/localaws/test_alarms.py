"""The state that an alarm's datapoints ask for."""

from typing import Any

import pytest

from localaws.alarms import state

HIGH: dict[str, Any] = {
    "EvaluationPeriods": 3,
    "Threshold": 5.0,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "missing",
}


@pytest.mark.parametrize(
    ("values", "changes", "expected"),
    [
        ([6.0, 7.0, 8.0], {}, "ALARM"),
        ([6.0, 5.0, 8.0], {}, "OK"),
        ([6.0, 5.0, 8.0], {"DatapointsToAlarm": 2}, "ALARM"),
        ([6.0, 5.0, 4.0], {"DatapointsToAlarm": 2}, "OK"),
        ([6.0, 8.0], {}, None),  # may become either
        ([6.0, 4.0], {}, "OK"),  # cannot become three of three
        ([6.0, 8.0], {"TreatMissingData": "breaching"}, "ALARM"),
        ([6.0, 8.0], {"TreatMissingData": "notBreaching"}, "OK"),
        ([], {}, "INSUFFICIENT_DATA"),
        ([], {"TreatMissingData": "ignore"}, None),
        ([], {"TreatMissingData": "breaching"}, "ALARM"),
        ([5.0, 5.0, 5.0], {"ComparisonOperator": "GreaterThanOrEqualToThreshold"}, "ALARM"),
        ([4.0, 4.0, 4.0], {"ComparisonOperator": "LessThanThreshold"}, "ALARM"),
        ([4.0, 4.0, 5.0], {"ComparisonOperator": "LessThanThreshold"}, "OK"),
    ],
)
def test_needs_as_many_breaching_datapoints_as_it_says(
    values: list[float], changes: dict[str, Any], expected: str | None
) -> None:
    assert state({**HIGH, **changes}, values) == expected
