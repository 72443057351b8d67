"""Training on EC2 by a real scheduler: a run to its end, and no instance that nobody waits for."""

import hashlib
import io
import tarfile
from typing import Any

import pytest

from kennel import instances
from kennel.registry import Package
from kennel.registry import newest as newest_of
from kennel.specs.ec2 import RUN_TAG
from tests.operations.machine import Machine
from tests.operations.runs import Run, registered
from tests.stores import eventually

SLEEP = b"import time; print('asleep', flush=True); time.sleep(900)\n"
SECONDS = 30  # within which an instance that nobody waits for must have gone


@pytest.fixture(scope="module")
def script(machine: Machine) -> None:
    """Code that sleeps in place of training."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as tar:
        info = tarfile.TarInfo("instance.py")
        info.size = len(SLEEP)
        tar.addfile(info, io.BytesIO(SLEEP))
    key = "code/sleep-on-ec2/sourcedir.tar.gz"
    machine.client("s3").put_object(Bucket=machine.aws.names.bucket, Key=key, Body=body.getvalue())


def living(run: Run) -> list[str]:
    """The live instances of a sleeper."""
    name = f"dogs-{hashlib.sha256(run.run_id.encode()).hexdigest()[:8]}"
    found = instances.tagged(run.machine.client("ec2"), RUN_TAG, name, instances.ALIVE)
    return [instance["InstanceId"] for instance in found]


def asleep(run: Run) -> str:
    """The instance on which a sleeper sleeps, once the triggerer waits for its end."""

    def found() -> Any:
        [*alive] = living(run)
        sent = alive and run.machine.client("ssm").list_command_invocations(InstanceId=alive[0])["CommandInvocations"]
        return sent and run.task("train")["triggerer_job"] and alive[0]

    return str(eventually(found, what=run.said))


def mark_failed(run: Run) -> None:
    run.machine.api.send("PATCH", f"{run.path}/taskInstances/train", {"new_state": "failed"})


def clear(run: Run) -> None:
    body = {"dry_run": False, "dag_run_id": run.run_id, "task_ids": ["train"], "only_failed": False}
    run.machine.api.send("POST", f"/dags/{run.dag_id}/clearTaskInstances", body)


def gone(run: Run) -> None:
    eventually(lambda: not living(run), SECONDS, run.said)


def test_a_model_from_ec2_stands_beside_the_others_with_what_was_tuned(machine: Machine, served: Package) -> None:
    run = Run.started(machine, "retrain_on_ec2").ended()
    [package] = [found for found in registered(machine) if found.run == run.xcom("snapshot")["run"]]
    assert (package.metadata["compute"], served.metadata["compute"]) == ("ec2", "sagemaker")
    assert int(package.metadata["billable_seconds"]) > 0
    approved = [found for found in registered(machine) if found.status == "Approved"]
    newest = newest_of(found for found in approved if found.metadata["compute"] == "sagemaker")
    assert newest
    *_, job, _, _ = newest.model_data.split("/")
    tuned = machine.client("sagemaker").describe_training_job(TrainingJobName=job)["HyperParameters"]
    assert run.xcom("choose_hyperparameters") == {name: tuned[name] for name in ("learning_rate", "batch_size")}
    assert instances.tagged(machine.client("ec2"), instances.CLASSIFIER_TAG, "dogs", instances.NOT_ENDED) == []
    log = machine.api.log(run.dag_id, run.run_id, "train", run.task("train")["try_number"])
    assert [line for line in log if "epoch=30 train_loss=" in line], log


def test_a_quota_without_room_fails_the_run_before_anything_is_launched(machine: Machine, served: Package) -> None:
    run = Run.started(machine, "retrain_on_ec2", force=True, instance_type="g4dn.xlarge")
    eventually(lambda: run.state == "failed", what=run.said)
    assert (run.task("check_quota")["state"], run.task("check_quota")["try_number"]) == ("failed", 1)
    assert "(quota L-DB2E81BA): g4dn.xlarge needs 4 vCPUs, 0 of 0 are in use" in run.said()
    assert run.task("embed")["state"] == "upstream_failed"


def test_marking_the_deferred_task_failed_ends_its_instance(machine: Machine, script: None) -> None:
    run = Run.started(machine, "sleeper_on_ec2")
    asleep(run)
    mark_failed(run)
    gone(run)


def test_clearing_the_deferred_task_ends_with_one_other_instance(machine: Machine, script: None) -> None:
    run = Run.started(machine, "sleeper_on_ec2")
    first = asleep(run)
    clear(run)
    eventually(lambda: living(run) and first not in living(run), SECONDS, run.said)
    assert asleep(run) != first
    assert len(living(run)) == 1
    mark_failed(run)
    gone(run)


@pytest.mark.parametrize("call_off", [mark_failed, clear])
def test_calling_off_the_running_task_ends_its_instance(machine: Machine, script: None, call_off: Any) -> None:
    with machine.proxy.holding("RunInstances") as held:
        run = Run.started(machine, "sleeper_on_ec2")
        assert held.arrived.wait(60), run.said()
        [first] = living(run)
        call_off(run)
        eventually(lambda: first not in living(run), SECONDS, run.said)
    if call_off is clear:
        mark_failed(run)
    gone(run)


def test_a_run_that_times_out_ends_the_instance_of_its_deferred_task(machine: Machine, script: None) -> None:
    run = Run.started(machine, "sleeper_on_ec2_with_a_short_run")
    eventually(lambda: living(run), what=run.said)
    eventually(lambda: run.task("train")["state"] == "skipped", 60, run.said)
    gone(run)
