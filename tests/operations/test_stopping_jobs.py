"""Marking failed, clearing and timeouts, of deferred and of running tasks: no job goes on that nobody waits for."""

import contextlib
import hashlib
import io
import tarfile
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.operations.jobs import live, statuses
from tests.operations.machine import Machine
from tests.stores import eventually

TASKS = ("embed", "tune", "train")
CREATE = ("CreateProcessingJob", "CreateHyperParameterTuningJob", "CreateTrainingJob")
SLEEP = b"import time; print('asleep', flush=True); time.sleep(900)\n"
SECONDS = 30  # within which a job that nobody waits for must have stopped


@pytest.fixture(scope="module")
def script(machine: Machine) -> None:
    """The sleeping script, for script mode and for processing."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as tar:
        info = tarfile.TarInfo("sleep.py")
        info.size = len(SLEEP)
        tar.addfile(info, io.BytesIO(SLEEP))
    s3, bucket = machine.client("s3"), machine.aws.names.bucket
    s3.put_object(Bucket=bucket, Key="code/sleep/sourcedir.tar.gz", Body=body.getvalue())
    s3.put_object(Bucket=bucket, Key="code/sleep/src/sleep.py", Body=SLEEP)


class Sleepers:
    """A run of a DAG of sleepers."""

    def __init__(self, machine: Machine, dag_id: str = "sleepers") -> None:
        self.machine = machine
        self.dag_id = dag_id
        self.run_id = f"run-{uuid.uuid4().hex[:8]}"
        self.digest = hashlib.sha256(self.run_id.encode()).hexdigest()[:8]
        body = {"dag_run_id": self.run_id, "logical_date": None}
        eventually(lambda: self.machine.api.ready(dag_id))
        machine.api.send("POST", f"/dags/{dag_id}/dagRuns", body)

    def tasks(self) -> list[dict[str, Any]]:
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances"
        return list(self.machine.api.get(path)["task_instances"])

    def states(self) -> dict[str, str]:
        return {task["task_id"]: task["state"] for task in self.tasks()}

    def deferred(self) -> None:
        """Return when the triggerer waits for all three."""
        eventually(lambda: all(task["triggerer_job"] for task in self.tasks()), what=self.machine.logs)
        eventually(lambda: all(len(self.live(task)) == 1 for task in TASKS))

    def live(self, task: str) -> list[str]:
        return live(self.machine, task, f"{task}-{self.digest}")

    def mark_failed(self) -> None:
        for task in TASKS:
            path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task}"
            self.machine.api.send("PATCH", path, {"new_state": "failed"})

    def clear(self) -> None:
        body = {"dry_run": False, "dag_run_id": self.run_id, "task_ids": [*TASKS], "only_failed": False}
        self.machine.api.send("POST", f"/dags/{self.dag_id}/clearTaskInstances", body)

    def stopped(self) -> None:
        """Return when nothing of the run lives; fail when that takes longer than it may."""
        eventually(lambda: not any(map(self.live, TASKS)), SECONDS, lambda: f"{self.states()} {self.machine.logs()}")

    def end(self) -> None:
        with contextlib.suppress(Exception):
            self.mark_failed()
        self.stopped()


@pytest.fixture
def sleepers(machine: Machine, script: None) -> Iterator[Sleepers]:
    run = Sleepers(machine)
    yield run
    run.end()


@contextlib.contextmanager
def running(machine: Machine) -> Iterator[Any]:
    """Every task of a run caught while it runs: its job is created, and it has not heard of that yet."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(machine.proxy.holding(operation)) for operation in CREATE]

        def caught() -> None:
            for one in held:
                assert one.arrived.wait(60), machine.logs()

        yield caught


def test_marking_deferred_tasks_failed_stops_their_jobs(sleepers: Sleepers) -> None:
    sleepers.deferred()
    sleepers.mark_failed()
    sleepers.stopped()


def test_marking_running_tasks_failed_stops_their_jobs(machine: Machine, script: None) -> None:
    with running(machine) as caught:
        run = Sleepers(machine)
        caught()
        run.mark_failed()
        run.stopped()


def one_live_successor(run: Sleepers) -> bool:
    return all(run.live(task) == [f"dogs-{task}-{run.digest}-r2"] for task in TASKS)


def test_clearing_deferred_tasks_ends_with_one_live_job_each(machine: Machine, sleepers: Sleepers) -> None:
    sleepers.deferred()
    sleepers.clear()
    eventually(lambda: one_live_successor(sleepers), SECONDS, machine.logs)
    sleepers.deferred()
    for task in TASKS:
        assert sorted(statuses(machine, task, f"{task}-{sleepers.digest}").values())[:2] == ["InProgress", "Stopped"]


def test_clearing_running_tasks_ends_with_one_live_job_each(machine: Machine, script: None) -> None:
    with running(machine) as caught:
        run = Sleepers(machine)
        caught()
        run.clear()
        eventually(lambda: not any(map(run.live, TASKS)), SECONDS, machine.logs)
    eventually(lambda: one_live_successor(run), 60, machine.logs)
    run.deferred()
    run.end()


def test_a_run_that_times_out_stops_the_jobs_of_its_deferred_tasks(machine: Machine, script: None) -> None:
    run = Sleepers(machine, "sleepers_with_a_short_run")
    run.deferred()
    eventually(lambda: set(run.states().values()) == {"skipped"}, 120, machine.logs)
    run.stopped()


def test_tasks_that_time_out_while_running_stop_their_jobs(machine: Machine, script: None) -> None:
    with running(machine) as caught:
        run = Sleepers(machine, "sleepers_with_a_short_task")
        caught()
        eventually(lambda: set(run.states().values()) == {"failed"}, 60, machine.logs)
        run.stopped()
