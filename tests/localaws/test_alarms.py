"""CloudWatch alarms on the metrics of one of several endpoints."""

import datetime
from typing import Any

import pytest

from tests.conftest import LocalAws
from tests.localaws.hosting import unique


@pytest.fixture
def cloudwatch(local_aws: LocalAws) -> Any:
    return local_aws.client("cloudwatch")


def put(cloudwatch: Any, namespace: str, endpoint: str, minutes_ago: int, value: float) -> None:
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=minutes_ago)
    datum = {"MetricName": "Errors", "Value": value, "Timestamp": at, "Dimensions": [{"Name": "E", "Value": endpoint}]}
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=[datum])


def test_an_alarm_goes_by_its_own_dimensions_and_every_period(cloudwatch: Any) -> None:
    namespace, name = unique("Space"), unique("errors")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace=namespace,
        MetricName="Errors",
        Dimensions=[{"Name": "E", "Value": "mine"}],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=2,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )

    def state() -> str:
        [alarm] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        value: str = alarm["StateValue"]
        return value

    put(cloudwatch, namespace, "another", 2, 9)
    put(cloudwatch, namespace, "another", 1, 9)
    assert state() == "INSUFFICIENT_DATA"
    put(cloudwatch, namespace, "mine", 2, 9)  # one of two periods
    assert state() == "INSUFFICIENT_DATA"
    put(cloudwatch, namespace, "mine", 1, 1)
    assert state() == "ALARM"
    put(cloudwatch, namespace, "mine", 0, 0)
    assert state() == "OK"
