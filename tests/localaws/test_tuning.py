"""Tuning jobs on the local AWS, driven by boto3."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.conftest import LocalAws
from tests.localaws.jobs import Workbench, refused

SCORE = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
rate = parser.parse_known_args()[0].rate
print(f"loss={abs(rate - 0.1)}")
"""
STRAGGLER = """
import sys, time
slow = "6" in sys.argv
print(f"loss={9 if slow else 1}", flush=True)
time.sleep(600 if slow else 0)
"""


@pytest.fixture(scope="module")
def bench(local_aws: LocalAws) -> Workbench:
    return Workbench(local_aws)


def tune(bench: Workbench, request: dict[str, Any]) -> dict[str, Any]:
    bench.sagemaker.create_hyper_parameter_tuning_job(**request)
    return bench.finished("TuningJob", request["HyperParameterTuningJobName"])


def trials(bench: Workbench, job: Mapping[str, Any], **how: Any) -> list[dict[str, Any]]:
    name = job["HyperParameterTuningJobName"]
    pages = bench.sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
    return [
        trial
        for page in pages.paginate(HyperParameterTuningJobName=name, **how)
        for trial in page["TrainingJobSummaries"]
    ]


def value(trial: Mapping[str, Any]) -> float:
    return float(trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def test_best_training_job_is_the_one_with_the_best_objective(bench: Workbench) -> None:
    job = tune(bench, bench.tuning_request(SCORE, {}, epochs="3"))
    assert job["HyperParameterTuningJobStatus"] == "Completed", job
    assert job["TrainingJobStatusCounters"] == {
        "Completed": 4,
        "InProgress": 0,
        "RetryableError": 0,
        "NonRetryableError": 0,
        "Stopped": 0,
    }
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 4, "Pending": 0, "Failed": 0}
    tried = trials(bench, job)
    name = job["HyperParameterTuningJobName"]
    assert [trial["TrainingJobName"][: len(name) + 4] for trial in tried] == [f"{name}-{n:03d}" for n in range(1, 5)]
    best = job["BestTrainingJob"]
    assert value(best) == min(value(trial) for trial in tried)
    assert value(best) == pytest.approx(abs(float(best["TunedHyperParameters"]["rate"]) - 0.1))
    assert best["FinalHyperParameterTuningJobObjectiveMetric"]["MetricName"] == "loss"
    by_value = trials(bench, job, SortBy="FinalObjectiveMetricValue", SortOrder="Ascending")
    assert [value(trial) for trial in by_value] == sorted(value(trial) for trial in tried)


def test_trials_are_training_jobs_of_the_tuning_job(bench: Workbench) -> None:
    job = tune(bench, bench.tuning_request(SCORE, {}, epochs="3"))
    trial = bench.describe("TrainingJob", trials(bench, job)[0]["TrainingJobName"])
    assert trial["TuningJobArn"] == job["HyperParameterTuningJobArn"]
    tuned = trials(bench, job)[0]["TunedHyperParameters"]
    given = trial["HyperParameters"]
    assert (given["rate"], given["epochs"], given["_tuning_objective_metric"]) == (tuned["rate"], "3", "loss")
    assert "TunedHyperParameters" not in trial
    assert trial["ModelArtifacts"]["S3ModelArtifacts"].endswith(f"{trial['TrainingJobName']}/output/model.tar.gz")


def test_no_more_training_jobs_run_at_once_than_allowed(bench: Workbench) -> None:
    limits = {"MaxNumberOfTrainingJobs": 5, "MaxParallelTrainingJobs": 2}
    script = "import time; time.sleep(0.3); print('loss=1')"
    job = tune(bench, bench.tuning_request(script, {"ResourceLimits": limits}))
    spans = [(trial["TrainingStartTime"], trial["TrainingEndTime"]) for trial in trials(bench, job)]
    at_once = [sum(start <= moment < end for start, end in spans) for moment, _ in spans]
    assert (len(spans), max(at_once)) == (5, 2)


def test_the_same_seed_tries_the_same_values(bench: Workbench) -> None:
    limits = {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 1}
    tried = []
    for _ in range(2):
        config = {"Strategy": "Bayesian", "RandomSeed": 7, "ResourceLimits": limits}
        job = tune(bench, bench.tuning_request(SCORE, config))
        tried.append([trial["TunedHyperParameters"] for trial in trials(bench, job)])
    assert tried[0] == tried[1]
    assert len({trial["rate"] for trial in tried[0]}) == 3


def test_grid_tries_every_combination_once(bench: Workbench) -> None:
    categorical = [{"Name": "rate", "Values": ["0.1", "0.2"]}, {"Name": "size", "Values": ["32", "64"]}]
    config = {
        "Strategy": "Grid",
        "ResourceLimits": {"MaxParallelTrainingJobs": 2},
        "ParameterRanges": {"CategoricalParameterRanges": categorical},
    }
    job = tune(bench, bench.tuning_request(SCORE, config))
    tried = sorted(
        (trial["TunedHyperParameters"]["rate"], trial["TunedHyperParameters"]["size"]) for trial in trials(bench, job)
    )
    assert tried == [("0.1", "32"), ("0.1", "64"), ("0.2", "32"), ("0.2", "64")]
    assert job["BestTrainingJob"]["TunedHyperParameters"]["rate"] == "0.1"


def test_failed_trials_do_not_fail_the_tuning_job(bench: Workbench) -> None:
    script = SCORE + "if rate > 0.03: raise SystemExit(3)"
    limits = {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1}
    categorical = {"CategoricalParameterRanges": [{"Name": "rate", "Values": ["0.5", "0.02"]}]}
    config = {"Strategy": "Grid", "ResourceLimits": limits, "ParameterRanges": categorical}
    job = tune(bench, bench.tuning_request(script, config))
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    assert job["BestTrainingJob"]["TunedHyperParameters"]["rate"] == "0.02"
    failed = next(trial for trial in trials(bench, job) if trial["TrainingJobStatus"] == "Failed")
    assert (failed["ObjectiveStatus"], "exit code: 3" in failed["FailureReason"]) == ("Failed", True)


def test_tuning_gives_up_when_nothing_ever_succeeds(bench: Workbench) -> None:
    limits = {"MaxNumberOfTrainingJobs": 20, "MaxParallelTrainingJobs": 2}
    job = tune(bench, bench.tuning_request("raise ValueError('always')", {"ResourceLimits": limits}))
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert "No training job succeeded after" in job["FailureReason"]
    assert "ValueError: always" in job["FailureReason"]
    assert 5 <= len(trials(bench, job)) <= 6


def test_objective_that_is_never_printed_fails_the_tuning_job(bench: Workbench) -> None:
    job = tune(bench, bench.tuning_request("print('no figures')", {}))
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert "No objective metrics found after running 4 training jobs" in job["FailureReason"]
    assert job["ObjectiveStatusCounters"]["Failed"] == 4


def test_stop_stops_the_training_jobs_too(bench: Workbench) -> None:
    request = bench.tuning_request("import time; time.sleep(600)", {})
    name = request["HyperParameterTuningJobName"]
    bench.sagemaker.create_hyper_parameter_tuning_job(**request)
    bench.until("TuningJob", name, lambda job: job["TrainingJobStatusCounters"]["InProgress"] == 2)
    bench.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    job = bench.finished("TuningJob", name)
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert [trial["TrainingJobStatus"] for trial in trials(bench, job)] == ["Stopped", "Stopped"]


def test_early_stopping_stops_what_falls_behind(bench: Workbench) -> None:
    """Five good ones make the median; the sixth is worse, and would take ten minutes."""
    levels = [{"Name": "level", "Values": ["1", "2", "3", "4", "5", "6"]}]
    config = {
        "Strategy": "Grid",
        "TrainingJobEarlyStoppingType": "Auto",
        "ResourceLimits": {"MaxParallelTrainingJobs": 1},
        "ParameterRanges": {"CategoricalParameterRanges": levels},
    }
    job = tune(bench, bench.tuning_request(STRAGGLER, config))
    tried = trials(bench, job)
    assert [trial["TrainingJobStatus"] for trial in tried] == ["Completed"] * 5 + ["Stopped"]
    assert (value(tried[5]), tried[5]["ObjectiveStatus"]) == (9, "Succeeded")
    assert job["HyperParameterTuningJobStatus"] == "Completed"


def test_hyperband_gives_its_time_to_the_promising(bench: Workbench) -> None:
    script = SCORE.replace('print(f"loss', 'import time\nfor step in range(9):\n    time.sleep(0.1)\n    print(f"loss')
    config = {
        "Strategy": "Hyperband",
        "StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}},
        "RandomSeed": 1,
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 16, "MaxParallelTrainingJobs": 2},
    }
    job = tune(bench, bench.tuning_request(script, config))
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    counters = job["TrainingJobStatusCounters"]
    assert counters["Completed"] >= 1
    assert counters["Stopped"] >= 1
    assert counters["Completed"] + counters["Stopped"] == 16
    assert value(job["BestTrainingJob"]) == min(value(trial) for trial in trials(bench, job))


def test_target_ends_the_tuning_job(bench: Workbench) -> None:
    limits = {"MaxNumberOfTrainingJobs": 20, "MaxParallelTrainingJobs": 1}
    config = {"ResourceLimits": limits, "TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 5.0}}
    job = tune(bench, bench.tuning_request("print('loss=4')", config))
    assert (job["HyperParameterTuningJobStatus"], len(trials(bench, job))) == ("Completed", 1)


def test_warm_start_begins_with_what_a_parent_found(bench: Workbench) -> None:
    parent = tune(bench, bench.tuning_request(SCORE, {"Strategy": "Bayesian", "RandomSeed": 1}))
    request = bench.tuning_request(SCORE, {"Strategy": "Bayesian", "RandomSeed": 1})
    parents = [{"HyperParameterTuningJobName": parent["HyperParameterTuningJobName"]}]
    warm = {"ParentHyperParameterTuningJobs": parents, "WarmStartType": "IdenticalDataAndAlgorithm"}
    child = tune(bench, request | {"WarmStartConfig": warm})
    assert child["HyperParameterTuningJobStatus"] == "Completed"
    first = [{trial["TunedHyperParameters"]["rate"] for trial in trials(bench, job)} for job in (parent, child)]
    assert first[0] != first[1]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"Strategy": "Grid"}, "takes only CategoricalParameterRanges"),
        ({"ResourceLimits": {"MaxParallelTrainingJobs": 1}}, "must have MaxNumberOfTrainingJobs"),
        ({"ParameterRanges": {}}, "at least one range"),
        (
            {"ParameterRanges": {"IntegerParameterRanges": [{"Name": "n", "MinValue": "9", "MaxValue": "1"}]}},
            "must be less than",
        ),
        (
            {"ParameterRanges": {"IntegerParameterRanges": [{"Name": "n", "MinValue": "1", "MaxValue": "two"}]}},
            "must be numbers",
        ),
        (
            {"ParameterRanges": {"CategoricalParameterRanges": [{"Name": "sagemaker_program", "Values": ["a"]}]}},
            "as a range or as static: sagemaker_program",
        ),
        ({"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "x"}}, "A metric is required"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(bench: Workbench, config: dict[str, Any], words: str) -> None:
    request = bench.tuning_request("", config)
    code, message = refused(bench.sagemaker.create_hyper_parameter_tuning_job, **request)
    assert (code, words in message) == ("ValidationException", True), message


def test_unknown_tuning_job_is_not_found(bench: Workbench) -> None:
    code, _ = refused(bench.sagemaker.describe_hyper_parameter_tuning_job, HyperParameterTuningJobName="nobody")
    assert code == "ResourceNotFound"


def test_listing_shows_status_and_counters(bench: Workbench) -> None:
    job = tune(bench, bench.tuning_request("print('loss=1')", {}))
    found = bench.sagemaker.list_hyper_parameter_tuning_jobs(NameContains=job["HyperParameterTuningJobName"])
    [summary] = found["HyperParameterTuningJobSummaries"]
    assert (summary["Strategy"], summary["TrainingJobStatusCounters"]["Completed"]) == ("Random", 4)
