"""kill -9 of each part during tuning, training and an endpoint's update: the run ends well, nothing is done twice."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from kennel.registry import Package
from tests.operations.callers import Caller
from tests.operations.jobs import LIVE, described, statuses
from tests.operations.machine import Machine
from tests.operations.runs import Run, in_service
from tests.stores import eventually

pytestmark = pytest.mark.timeout(1800)  # whole runs, on a machine that may be busy
CONF = {"force": True, "max_jobs": 3, "max_parallel_jobs": 1}


@dataclass(frozen=True)
class Moment:
    """A task while SageMaker works for it, and the call by which it sets SageMaker to work."""

    task: str
    call: str
    working: Callable[[Machine], bool]


def endpoint_status(machine: Machine) -> str:
    found = machine.client("sagemaker").describe_endpoint(EndpointName=machine.aws.names.endpoint)
    return str(found["EndpointStatus"])


def at_work(kind: str) -> Callable[[Machine], bool]:
    return lambda machine: "InProgress" in statuses(machine, kind, "dogs-").values()


MOMENTS = {
    "tuning": Moment("tune", "CreateHyperParameterTuningJob", at_work("tune")),
    "training": Moment("train", "CreateTrainingJob", at_work("train")),
    "endpoint update": Moment(
        "deploy_endpoint", "UpdateEndpoint", lambda machine: endpoint_status(machine) == "Updating"
    ),
}
OF_A_TASK = ("task's process", "supervisor")
PARTS = ("triggerer", "scheduler", "local AWS")


def kill_the_tasks(kind: str, machine: Machine, run: Run, moment: Moment) -> None:
    """Kill a task's process, or the process that watches over that, while it waits for SageMaker's answer."""
    with machine.proxy.holding(moment.call) as held:
        assert held.arrived.wait(120), run.said()
        process = psutil.Process(run.task(moment.task)["pid"])
        if kind == "supervisor":
            process = psutil.Process(process.ppid())
        os.kill(process.pid, signal.SIGKILL)
        eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def kill_a_part(kind: str, machine: Machine, run: Run, moment: Moment) -> None:
    """Kill a part and start it again while the task waits in the triggerer and SageMaker works."""
    eventually(lambda: run.task(moment.task)["state"] == "deferred" and moment.working(machine), what=run.said)
    machine.kill(kind)


@dataclass
class Outcome:
    """What came of a retraining and a deployment with three kills."""

    kind: str
    retrain: Run
    deploy: Run
    caller: Caller


@pytest.fixture(scope="module", params=[*OF_A_TASK, *PARTS])
def outcome(request: pytest.FixtureRequest, machine: Machine, served: Package, photos: Path) -> Outcome:
    kind: str = request.param
    kill = kill_the_tasks if kind in OF_A_TASK else kill_a_part
    retrain = Run.started(machine, "retrain", **CONF)
    for name in ("tuning", "training"):
        kill(kind, machine, retrain, MOMENTS[name])
    retrain.ended()
    caller = Caller(machine, next(photos.rglob("*.jpg")))
    with caller.calling():
        deploy = retrain.deployment()
        kill(kind, machine, deploy, MOMENTS["endpoint update"])
        deploy.ended()
    return Outcome(kind, retrain, deploy, caller)


@pytest.mark.parametrize("moment", MOMENTS)
def test_after_a_kill_the_run_ends_well_and_nothing_is_done_twice(
    machine: Machine, outcome: Outcome, moment: str
) -> None:
    run = outcome.deploy if moment == "endpoint update" else outcome.retrain
    if outcome.kind in OF_A_TASK:
        assert run.task(MOMENTS[moment].task)["try_number"] == 2
    name = outcome.retrain.xcom("snapshot")["run"]
    if moment == "endpoint update":
        assert_served(machine, outcome, name)
    else:
        kind = MOMENTS[moment].task
        assert_once(machine, outcome, kind, statuses(machine, kind, name + ("-train" if kind == "train" else "")))


def assert_once(machine: Machine, outcome: Outcome, kind: str, jobs: dict[str, str]) -> None:
    """One job completed; there was another only where an interrupted local AWS has lost it."""
    lost = [name for name, status in jobs.items() if status != "Completed"]
    assert len(jobs) - len(lost) == 1, jobs
    if outcome.kind != "local AWS":
        assert lost == []
    for name in lost:
        assert "restarted while the job ran" in described(machine, kind, name)["FailureReason"]


def assert_served(machine: Machine, outcome: Outcome, run: str) -> None:
    serving = in_service(machine)
    assert serving
    assert serving.run == run
    assert outcome.caller.answers
    if outcome.kind != "local AWS":
        assert outcome.caller.failures == []
    failed = len(outcome.caller.failures)
    outcome.caller.ask()
    assert len(outcome.caller.failures) == failed


def test_nothing_runs_on(machine: Machine, outcome: Outcome) -> None:
    for kind in ("embed", "tune", "train"):
        assert not LIVE.intersection(statuses(machine, kind, "dogs-").values())
