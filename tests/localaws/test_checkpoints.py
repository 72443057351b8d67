"""Checkpoints of training jobs, and the Spot instances that make them worth having."""

import time
from typing import Any

import pytest

from tests.conftest import LocalAws
from tests.localaws.jobs import Workbench, refused, unique

GROUP = "/aws/sagemaker/TrainingJobs"
# Counts the times it was started, in a checkpoint; only the second time does it come to an end.
TWICE = """
import os, pathlib, time
place = pathlib.Path("/opt/ml/checkpoints/state/count.txt")
count = int(place.read_text()) + 1 if place.exists() else 1
place.parent.mkdir(exist_ok=True)
place.write_text(str(count))
print("start", count, "loss=0.5", flush=True)
if count < 2:
    time.sleep(600)
pathlib.Path("/opt/ml/model/count").write_text(str(count))
"""


@pytest.fixture(scope="module")
def bench(local_aws: LocalAws) -> Workbench:
    return Workbench(local_aws)


def spot(bench: Workbench, **changes: Any) -> dict[str, Any]:
    """A request for a managed Spot training whose instances are taken back after eight seconds."""
    return bench.training_request(
        bench.source(TWICE),
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
        Environment={"LOCALAWS_INTERRUPT_AFTER": "8"},
        **changes,
    )


def test_checkpoints_are_stored_during_the_run_and_found_by_the_next_job(bench: Workbench) -> None:
    prefix = unique("checkpoints")
    bench.put(f"{prefix}-of-another/count.txt", "7")
    request = bench.training_request(bench.source(TWICE), CheckpointConfig={"S3Uri": bench.uri(prefix)})
    bench.sagemaker.create_training_job(**request)
    deadline = time.monotonic() + 30
    while not bench.keys(f"{prefix}/"):
        assert time.monotonic() < deadline, bench.describe("TrainingJob", request["TrainingJobName"])
        time.sleep(0.1)
    assert bench.describe("TrainingJob", request["TrainingJobName"])["SecondaryStatus"] == "Training"
    assert bench.get(f"{prefix}/state/count.txt") == b"1"
    bench.sagemaker.stop_training_job(TrainingJobName=request["TrainingJobName"])
    assert bench.finished("TrainingJob", request["TrainingJobName"])["TrainingJobStatus"] == "Stopped"
    job = bench.train(TWICE, CheckpointConfig={"S3Uri": bench.uri(prefix)})
    assert job["TrainingJobStatus"] == "Completed", job
    assert bench.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"count": "2"}
    assert bench.keys(f"{prefix}/") == [f"{prefix}/state/count.txt"]


def test_spot_training_goes_on_from_its_checkpoint_after_an_interruption(bench: Workbench) -> None:
    request = spot(bench, CheckpointConfig={"S3Uri": bench.uri(unique("checkpoints"))})
    bench.sagemaker.create_training_job(**request)
    name = request["TrainingJobName"]
    job = bench.finished("TrainingJob", name)
    assert [entry["Status"] for entry in job["SecondaryStatusTransitions"]] == [
        *("Starting", "Downloading", "Training", "Interrupted"),
        *("Starting", "Downloading", "Training", "Uploading", "Completed"),
    ]
    assert bench.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"count": "2"}
    assert bench.lines(GROUP, name) == ["start 1 loss=0.5", "start 2 loss=0.5"]
    assert job["TrainingTimeInSeconds"] >= 8
    assert 1 <= job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]


def test_interrupted_training_without_checkpoints_starts_anew(bench: Workbench) -> None:
    request = spot(bench)
    name = request["TrainingJobName"]
    bench.sagemaker.create_training_job(**request)
    bench.until("TrainingJob", name, lambda _: bench.lines(GROUP, name) == ["start 1 loss=0.5"] * 2)
    bench.sagemaker.stop_training_job(TrainingJobName=name)
    assert bench.finished("TrainingJob", name)["SecondaryStatus"] == "Stopped"


def test_job_ends_when_there_are_no_spot_instances_in_time(bench: Workbench) -> None:
    request = spot(bench) | {
        "Environment": {"LOCALAWS_INTERRUPT_AFTER": "8", "LOCALAWS_INTERRUPT_FOR": "600"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 10, "MaxWaitTimeInSeconds": 12},
    }
    bench.sagemaker.create_training_job(**request)
    job = bench.finished("TrainingJob", request["TrainingJobName"])
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert [metric["Value"] for metric in job["FinalMetricDataList"]] == [0.5]
    assert 1 <= job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]


def test_job_can_be_stopped_while_it_waits_for_spot_instances(bench: Workbench) -> None:
    request = spot(bench) | {"Environment": {"LOCALAWS_INTERRUPT_AFTER": "1", "LOCALAWS_INTERRUPT_FOR": "600"}}
    bench.sagemaker.create_training_job(**request)
    bench.until("TrainingJob", request["TrainingJobName"], lambda job: job["SecondaryStatus"] == "Interrupted")
    bench.sagemaker.stop_training_job(TrainingJobName=request["TrainingJobName"])
    assert bench.finished("TrainingJob", request["TrainingJobName"])["TrainingJobStatus"] == "Stopped"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"EnableManagedSpotTraining": False, "Environment": {}},
            "It is only supported when EnableManagedSpotTraining is set to true",
        ),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 60}}, "It must be present"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59}}, "equal to MaxRuntimeInSecond"),
        ({"StoppingCondition": {"MaxWaitTimeInSeconds": 60}}, "greater than or equal to MaxRuntimeInSeconds"),
        ({"Environment": {"LOCALAWS_INTERRUPT_AFTER": "soon"}}, "takes whole seconds"),
        (
            {"EnableManagedSpotTraining": False, "StoppingCondition": {"MaxRuntimeInSeconds": 60}},
            "needs EnableManagedSpotTraining",
        ),
    ],
)
def test_waiting_time_belongs_to_spot_training(bench: Workbench, changes: dict[str, Any], words: str) -> None:
    code, message = refused(bench.sagemaker.create_training_job, **(spot(bench) | changes))
    assert (code, words in message) == ("ValidationException", True), message
