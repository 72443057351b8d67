"""The steps in which traffic goes over to a new fleet."""

from pathlib import Path
from typing import Any

import pytest

from localaws.cloud import Cloud, Credentials, now
from localaws.errors import AwsError
from localaws.serving import fleet
from localaws.serving.fleet import router
from localaws.serving.instance import Instance
from localaws.serving.router import Fleet, Pool
from localaws.serving.shifting import RolledBackError, shift, steps
from localaws.serving.variant import Variant
from localaws.store import Store


def policy(kind: str, **sizes: tuple[str, int]) -> dict[str, Any]:
    """A BlueGreenUpdatePolicy; a size is its type and value."""
    members = {name: {"Type": type_, "Value": value} for name, (type_, value) in sizes.items()}
    return {"TrafficRoutingConfiguration": {"Type": kind, "WaitIntervalInSeconds": 0, **members}}


@pytest.mark.parametrize(
    ("given", "instances", "shares"),
    [
        ({}, 4, [1.0]),
        (policy("ALL_AT_ONCE"), 4, [1.0]),
        (policy("CANARY", CanarySize=("CAPACITY_PERCENT", 5)), 4, [0.05, 1.0]),
        (policy("CANARY", CanarySize=("INSTANCE_COUNT", 1)), 4, [0.25, 1.0]),
        (policy("LINEAR", LinearStepSize=("CAPACITY_PERCENT", 25)), 4, [0.25, 0.5, 0.75, 1.0]),
        (policy("LINEAR", LinearStepSize=("CAPACITY_PERCENT", 40)), 4, [0.4, 0.8, 1.0]),
        (policy("LINEAR", LinearStepSize=("INSTANCE_COUNT", 2)), 4, [0.5, 1.0]),
    ],
)
def test_goes_over_step_by_step(given: dict[str, Any], instances: int, shares: list[float]) -> None:
    assert steps(given, instances) == pytest.approx(shares)


@pytest.mark.parametrize(
    "given",
    [
        policy("CANARY", CanarySize=("INSTANCE_COUNT", 3)),
        policy("LINEAR", LinearStepSize=("CAPACITY_PERCENT", 5)),
        policy("LINEAR"),
        policy("LINEAR", CanarySize=("CAPACITY_PERCENT", 20)),
    ],
)
def test_refuses_steps_of_another_size(given: dict[str, Any]) -> None:
    with pytest.raises(AwsError, match="ValidationException"):
        steps(given, 4)


def test_goes_back_when_it_takes_too_long(tmp_path: Path) -> None:
    cloud = Cloud(Store(tmp_path / "db"), tmp_path, "http://127.0.0.1", "0", "us-east-1", Credentials("A", "s"))

    def one() -> Fleet:
        instance = Instance(cloud, "slow", Variant("AllTraffic", "ml.m5.large", "image", "", {}, "role", 1), 1)
        instance.ready = True
        return {"AllTraffic": Pool(1.0, [instance])}

    old, new = one(), one()
    config = {"BlueGreenUpdatePolicy": {**policy("ALL_AT_ONCE"), "MaximumExecutionTimeoutInSeconds": 600}}
    reported: list[str] = []
    fleet.open_up()
    router.replace("slow", old)
    try:
        with pytest.raises(RolledBackError, match="MaximumExecutionTimeoutInSeconds are over"):
            shift(cloud, "slow", new, config, now() - 601, reported.append)
        leased = {router.lease("slow", None)[1] for _ in range(10)}
        shift(cloud, "slow", new, config, now(), reported.append)
        shifted = {router.lease("slow", None)[1] for _ in range(10)}
    finally:
        fleet.shut_down()
        fleet.stop([*old["AllTraffic"].instances, *new["AllTraffic"].instances])
        cloud.store.close()

    assert leased == set(old["AllTraffic"].instances)
    assert shifted == set(new["AllTraffic"].instances)
    assert reported == ["ActivatingTraffic", "Baking"] * 2
