"""An AWS that throttles, fails and loses connections all along: runs end well, and nothing is made twice."""

from collections.abc import Iterator

import pytest

from kennel.registry import Package
from tests.operations.faults import bad_day
from tests.operations.jobs import statuses
from tests.operations.machine import Machine
from tests.operations.runs import Run, in_service, registered

pytestmark = pytest.mark.timeout(1800)  # whole runs, on a machine that may be busy


@pytest.fixture
def troubled(machine: Machine, served: Package) -> Iterator[Machine]:
    """A machine with a model in service, whose AWS has a bad day."""
    machine.proxy.trouble = bad_day()
    machine.proxy.happened.clear()
    yield machine
    machine.proxy.trouble = None


def test_retrains_and_deploys_as_on_any_other_day(troubled: Machine) -> None:
    run = Run.started(troubled, "retrain", force=True, max_jobs=2, max_parallel_jobs=1).ended()
    run.deployment().ended()
    assert set(troubled.proxy.happened) == {"throttled", "500", "lost before", "lost after"}
    name = run.xcom("snapshot")["run"]
    assert statuses(troubled, "tune", name) == {name: "Completed"}
    assert statuses(troubled, "train", f"{name}-train") == {f"{name}-train": "Completed"}
    assert statuses(troubled, "embed", name) == {f"{name}-evaluate": "Completed"}
    assert [package.run for package in registered(troubled)].count(name) == 1
    serving = in_service(troubled)
    assert serving
    assert serving.run == name
