"""The SageMaker Python SDK v2, from the upload to the deletion: scripts/notebook_sdk_v2.py is what it does."""

import json
import math
import re

import pytest

from tests.clients.artifacts import unpacked
from tests.clients.conftest import BREEDS, BUCKET
from tests.clients.notebook import Seen
from tests.conftest import LocalAws
from tests.localaws.hosting import refusal

pytestmark = pytest.mark.timeout(600)  # the first test waits for all of the notebook


def test_uploads(sdk_v2_notebook: Seen) -> None:
    photos, points = sdk_v2_notebook["uploaded"]
    assert photos == f"s3://{BUCKET}/photos"
    assert points == ["points/part-0.csv", "points/part-1.csv"]


def test_trains_on_two_instances(local_aws: LocalAws, sdk_v2_notebook: Seen) -> None:
    fit = sdk_v2_notebook["fit"]
    assert fit["description"]["TrainingJobStatus"] == "Completed"
    assert fit["model"] == f"s3://{BUCKET}/slopes/{fit['description']['TrainingJobName']}/output/model.tar.gz"
    results = unpacked(local_aws, fit["model"])
    assert sorted(results) == ["algo-1.json", "algo-2.json"]
    for result in results.values():
        assert result["points"] == 8  # of 16: a file each
        assert result["w"] == pytest.approx(3, abs=0.2)
        assert result["arguments"]["units"] == "slope_units"


def test_shows_the_log_of_every_instance(sdk_v2_notebook: Seen) -> None:
    lines = sdk_v2_notebook.output.splitlines()
    for host in ("algo-1", "algo-2"):
        (line,) = [line for line in lines if line.startswith(f"{host} of ")]
        assert line == f'{host} of ["algo-1","algo-2"] has 8 points in metres'
    assert sum(line.startswith("step=20 loss=") for line in lines) == 2
    assert any("Training - Training image download completed" in line for line in lines)
    assert any(re.fullmatch(r"Training seconds: \d+", line) for line in lines)


def test_trains_one_model_on_two_instances_by_torchrun(local_aws: LocalAws, sdk_v2_notebook: Seen) -> None:
    together = sdk_v2_notebook["together"]
    assert together["description"]["TrainingJobStatus"] == "Completed"
    assert together["description"]["HyperParameters"]["sagemaker_torch_distributed_enabled"] == "true"
    results = unpacked(local_aws, together["model"])
    expected = {"w": pytest.approx(3, abs=0.01), "processes": 2, "master": "algo-1", "port": "7777"}
    assert results == {"slope.json": expected}
    for rank in range(2):
        assert f"process {rank} of 2 has 8 points" in sdk_v2_notebook.output


def test_describes_what_it_was_asked_for(sdk_v2_notebook: Seen) -> None:
    fit = sdk_v2_notebook["fit"]
    described = fit["description"]
    assert described["Environment"] == {"COLOUR": "blue"}
    assert described["StoppingCondition"]["MaxRuntimeInSeconds"] == 300
    assert json.loads(described["HyperParameters"]["units"]) == "slope_units"
    assert described["HyperParameters"]["rate"] == "0.02"
    assert described["ResourceConfig"]["InstanceCount"] == 2
    assert set(fit["metrics"]["metric_name"]) == {"loss"}


@pytest.mark.parametrize("strategy", ["Random", "Grid", "Hyperband", "Bayesian", "Warm"])
def test_searches(sdk_v2_notebook: Seen, strategy: str) -> None:
    search = sdk_v2_notebook["tuning"][strategy]
    described, trials = search["description"], search["trials"]
    config = described["HyperParameterTuningJobConfig"]
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert config["Strategy"] == {"Warm": "Bayesian"}.get(strategy, strategy)
    assert len(trials) == config["ResourceLimits"]["MaxNumberOfTrainingJobs"]
    scores = {trial["TrainingJobName"]: trial["FinalObjectiveValue"] for trial in trials}
    assert search["best"] == min(scores, key=lambda name: scores[name])


def test_searches_within_the_ranges(sdk_v2_notebook: Seen) -> None:
    for trial in sdk_v2_notebook["tuning"]["Random"]["trials"]:
        assert 0.001 <= trial["rate"] <= 0.05
        assert trial["steps"] in range(5, 21)
        assert trial["start"].strip('"') in ("zero", "one")
    grid = sdk_v2_notebook["tuning"]["Grid"]["trials"]
    tried = {(trial["start"].strip('"'), int(str(trial["steps"]).strip('"'))) for trial in grid}
    assert tried == {(start, steps) for start in ("zero", "one") for steps in (3, 6)}


def test_remembers_where_it_starts_from(sdk_v2_notebook: Seen) -> None:
    tuning = sdk_v2_notebook["tuning"]
    warm = tuning["Warm"]["description"]["WarmStartConfig"]
    parent = tuning["Random"]["description"]["HyperParameterTuningJobName"]
    assert warm["ParentHyperParameterTuningJobs"] == [{"HyperParameterTuningJobName": parent}]


def test_keeps_the_best_model_of_a_search_on_photos(sdk_v2_notebook: Seen) -> None:
    best = sdk_v2_notebook["best"]
    winner = best["description"]["BestTrainingJob"]
    metric = winner["FinalHyperParameterTuningJobObjectiveMetric"]
    assert (metric["MetricName"], metric["Type"]) == ("Test Loss", "Minimize")
    assert best["model"] == f"s3://{BUCKET}/{winner['TrainingJobName']}/output/model.tar.gz"
    assert best["hyperparameters"]["sagemaker_program"] == '"hpo.py"'
    assert best["hyperparameters"]["_tuning_objective_metric"] == '"Test Loss"'


def test_predicts(sdk_v2_notebook: Seen) -> None:
    predictions = sdk_v2_notebook["predictions"]
    (scores,) = predictions["jpeg"]
    assert len(scores) == len(BREEDS)
    assert all(math.isfinite(score) for score in scores)
    assert predictions["json"] == predictions["jpeg"]  # the photo that the presigned address leads to


def test_hears_why_a_model_refuses(sdk_v2_notebook: Seen) -> None:
    assert sdk_v2_notebook["refused"].startswith("ModelError: ")
    assert "cannot identify image file" in sdk_v2_notebook["refused"]


def test_describes_and_deletes(local_aws: LocalAws, sdk_v2_notebook: Seen) -> None:
    endpoint, config = sdk_v2_notebook["endpoint"], sdk_v2_notebook["config"]
    model = sdk_v2_notebook["described"]["ModelName"]
    assert endpoint["EndpointStatus"] == "InService"
    assert config["ProductionVariants"][0]["ModelName"] == model
    sagemaker = local_aws.client("sagemaker")
    for describe, member, name in (
        (sagemaker.describe_model, "ModelName", model),
        (sagemaker.describe_endpoint_config, "EndpointConfigName", config["EndpointConfigName"]),
    ):
        code, message = refusal(describe, **{member: name})
        assert (code, message.split('"')[0].split(" ")[:3]) == ("ValidationException", ["Could", "not", "find"])
    sagemaker.get_waiter("endpoint_deleted").wait(
        EndpointName=endpoint["EndpointName"], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
