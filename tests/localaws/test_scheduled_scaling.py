"""Scheduled actions: other bounds at other times."""

import datetime
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import running_local_aws
from tests.localaws.hosting import Hosting, eventually, named, refusal

VARIANT = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosting]:
    """A local AWS whose minutes last a second."""
    with running_local_aws(tmp_path_factory.mktemp("fast") / "home", LOCALAWS_CLOCK_SPEED="60") as aws:
        yield Hosting.prepare(aws)


@pytest.fixture(scope="module")
def target(fast: Hosting) -> Iterator[dict[str, Any]]:
    """The first of an endpoint's two variants; both are scalable targets, from 1 to 3 instances."""
    model = fast.model(named("scheduled"))
    name = fast.endpoint(fast.config(model, model))
    resources = [{**VARIANT, "ResourceId": f"endpoint/{name}/variant/{variant}"} for variant in ("v0", "v1")]
    for resource in resources:
        fast.aws.client("application-autoscaling").register_scalable_target(**resource, MinCapacity=1, MaxCapacity=3)
    yield resources[0]
    fast.at_rest(name)
    fast.delete(name)


@pytest.fixture
def scaling(fast: Hosting, target: dict[str, Any]) -> Any:
    """A client, on the target with its first bounds."""
    client = fast.aws.client("application-autoscaling")
    state = dict.fromkeys(("DynamicScalingInSuspended", "DynamicScalingOutSuspended"), False)
    client.register_scalable_target(
        **target, MinCapacity=1, MaxCapacity=3, SuspendedState={**state, "ScheduledScalingSuspended": False}
    )
    fast.at_rest(target["ResourceId"].split("/")[1])
    return client


def soon(seconds: float) -> str:
    """An at expression for so many seconds from now."""
    return f"at({datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S})"


def actions(scaling: Any, target: dict[str, Any]) -> Any:
    answer = scaling.describe_scheduled_actions(ServiceNamespace="sagemaker", ResourceId=target["ResourceId"])
    return answer["ScheduledActions"]


def activities(scaling: Any, target: dict[str, Any], **members: Any) -> Any:
    return scaling.describe_scaling_activities(ServiceNamespace="sagemaker", ResourceId=target["ResourceId"], **members)


def test_new_bounds_come_at_their_time(fast: Hosting, scaling: Any, target: dict[str, Any]) -> None:
    before = fast.processes()
    scaling.put_scheduled_action(
        **target,
        ScheduledActionName="morning",
        Schedule=soon(3),
        ScalableTargetAction={"MinCapacity": 2, "MaxCapacity": 2},
    )
    [action] = actions(scaling, target)
    eventually(lambda: len(fast.processes() - before) == 1)
    fast.at_rest(target["ResourceId"].split("/")[1])
    first = activities(scaling, target, MaxResults=1)
    second = activities(scaling, target, MaxResults=1, NextToken=first["NextToken"])
    [bounds] = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[target["ResourceId"]])[
        "ScalableTargets"
    ]
    scaling.delete_scheduled_action(**target, ScheduledActionName="morning")

    assert action["ScheduledActionARN"].endswith(f"{target['ResourceId']}:scheduledActionName/morning")
    assert (bounds["MinCapacity"], bounds["MaxCapacity"]) == (2, 2)
    [scaled], [triggered] = first["ScalingActivities"], second["ScalingActivities"]
    assert (scaled["Description"], scaled["Cause"], scaled["StatusCode"]) == (
        "Setting desired instance count to 2.",
        "minimum capacity was set to 2",
        "Successful",
    )
    assert (triggered["Description"], triggered["Cause"], triggered["StatusCode"]) == (
        "Setting min capacity to 2 and max capacity to 2",
        "scheduled action name morning was triggered",
        "Successful",
    )
    assert actions(scaling, target) == []


def test_a_rate_repeats_but_for_a_suspended_target(scaling: Any, target: dict[str, Any]) -> None:
    other = {**target, "ResourceId": target["ResourceId"].replace("v0", "v1")}

    def triggered(resource: dict[str, Any]) -> int:
        found = activities(scaling, resource)["ScalingActivities"]
        return sum(activity["Cause"] == "scheduled action name often was triggered" for activity in found)

    scaling.register_scalable_target(**target, SuspendedState={"ScheduledScalingSuspended": True})
    for resource in (target, other):
        scaling.put_scheduled_action(
            **resource, ScheduledActionName="often", Schedule="rate(1 minute)", ScalableTargetAction={"MaxCapacity": 3}
        )
    eventually(lambda: triggered(other) >= 2)
    held = triggered(target)
    scaling.register_scalable_target(**target, SuspendedState={"ScheduledScalingSuspended": False})
    eventually(lambda: triggered(target) >= 1)
    for resource in (target, other):
        scaling.delete_scheduled_action(**resource, ScheduledActionName="often")

    assert held == 0


def test_refuses_a_schedule_that_cannot_be_followed(scaling: Any, target: dict[str, Any]) -> None:
    for schedule, members, reason in (
        ("every monday", {"MinCapacity": 1}, "none of at(...), rate(...) and cron(...)"),
        (soon(-60), {"MinCapacity": 1}, "is over"),
        ("rate(1 day)", {"MinCapacity": 3, "MaxCapacity": 1}, "must not be greater"),
        ("rate(1 day)", {}, "needs a Schedule and a ScalableTargetAction"),
    ):
        code, message = refusal(
            scaling.put_scheduled_action,
            **target,
            ScheduledActionName="wrong",
            Schedule=schedule,
            ScalableTargetAction=members,
        )
        assert (code, reason in message) == ("ValidationException", True), message
    unknown = refusal(scaling.delete_scheduled_action, **target, ScheduledActionName="wrong")
    assert unknown[0] == "ObjectNotFoundException"
