"""The SageMaker Python SDK v3, from training to the deletion: scripts/notebook_sdk_v3.py is what it does."""

import importlib.util
import math

import pytest

from tests.clients.artifacts import unpacked
from tests.clients.conftest import BREEDS, BUCKET
from tests.clients.notebook import Seen
from tests.conftest import LocalAws
from tests.localaws.hosting import refusal

pytestmark = pytest.mark.timeout(600)  # the first test waits for all of the notebook


def test_trains_by_its_own_script_in_the_container(sdk_v3_notebook: Seen) -> None:
    job = sdk_v3_notebook["train"]
    assert job["status"] == "Completed"
    assert job["channels"] == ["training", "code", "sm_drivers"]
    assert job["model"] == f"s3://{BUCKET}/dogs-v3/{job['name']}/output/model.tar.gz"


def test_shows_the_log(sdk_v3_notebook: Seen) -> None:
    for line in ("SM_CHANNEL_TRAINING=/opt/ml/input/data/training", "valid_loss: ", "epoch 1 of 1 is done"):
        assert line in sdk_v3_notebook.output


def test_trains_on_two_instances_with_requirements(local_aws: LocalAws, sdk_v3_notebook: Seen) -> None:
    assert sdk_v3_notebook["slopes"]["status"] == "Completed"
    results = unpacked(local_aws, sdk_v3_notebook["slopes"]["model"])
    assert sorted(results) == ["algo-1.json", "algo-2.json"]
    for result in results.values():
        assert result["points"] == 16
        assert result["w"] == pytest.approx(3, abs=0.2)


def test_trains_one_model_on_two_instances_by_torchrun(local_aws: LocalAws, sdk_v3_notebook: Seen) -> None:
    assert sdk_v3_notebook["together"]["status"] == "Completed"
    results = unpacked(local_aws, sdk_v3_notebook["together"]["model"])
    expected = {"w": pytest.approx(3, abs=0.01), "processes": 2, "master": "algo-1", "port": "7777"}
    assert results == {"slope.json": expected}


def test_installs_requirements_for_the_job_only(sdk_v3_notebook: Seen) -> None:
    assert sdk_v3_notebook["slopes"]["status"] == "Completed"
    assert importlib.util.find_spec("slope_units") is None


def test_searches(sdk_v3_notebook: Seen) -> None:
    tuning = sdk_v3_notebook["tuning"]
    scores = {trial["TrainingJobName"]: trial["FinalObjectiveValue"] for trial in tuning["trials"]}
    assert (tuning["status"], len(scores)) == ("Completed", 3)
    assert tuning["best"] == min(scores, key=lambda name: scores[name])
    for trial in tuning["trials"]:
        assert 0.001 <= trial["rate"] <= 0.05
        assert trial["steps"] in range(5, 21)
        assert trial["start"] in ("zero", "one")


def test_predicts(sdk_v3_notebook: Seen) -> None:
    assert sdk_v3_notebook["endpoint"] == ["dogs-v3", "InService"]
    predictions = sdk_v3_notebook["predictions"]
    (scores,) = predictions["jpeg"]
    assert len(scores) == len(BREEDS)
    assert all(math.isfinite(score) for score in scores)
    assert predictions["json"] == predictions["jpeg"]  # the photo that the presigned address leads to


def test_deletes(local_aws: LocalAws, sdk_v3_notebook: Seen) -> None:
    name, _ = sdk_v3_notebook["endpoint"]
    sagemaker = local_aws.client("sagemaker")
    code, message = refusal(sagemaker.describe_model, ModelName="dogs-v3-model")
    assert (code, message.startswith("Could not find model")) == ("ValidationException", True)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
