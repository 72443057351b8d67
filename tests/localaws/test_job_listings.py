"""The listings of jobs of every kind: filters, orders and pages, as SageMaker documents them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import LocalAws
from tests.localaws.jobs import KINDS, Workbench, refused, unique

# Of a kind of job: the operation that lists it, and the member that holds the listing.
LISTINGS = {
    "TrainingJob": ("list_training_jobs", "TrainingJobSummaries"),
    "ProcessingJob": ("list_processing_jobs", "ProcessingJobSummaries"),
    "TuningJob": ("list_hyper_parameter_tuning_jobs", "HyperParameterTuningJobSummaries"),
}
OUTCOMES = {"b": "Failed", "c": "Completed", "a": "Completed"}  # by the last letter of the name, in order of creation


@pytest.fixture(scope="module")
def bench(local_aws: LocalAws) -> Workbench:
    return Workbench(local_aws)


def create(bench: Workbench, kind: str, name: str, script: str) -> None:
    limits = {"ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1}}
    requests: dict[str, Callable[[], dict[str, Any]]] = {
        "TrainingJob": lambda: bench.training_request(bench.source(script)),
        "ProcessingJob": lambda: bench.processing_request(script),
        "TuningJob": lambda: bench.tuning_request(script, limits),
    }
    creators = {
        "TrainingJob": bench.sagemaker.create_training_job,
        "ProcessingJob": bench.sagemaker.create_processing_job,
        "TuningJob": bench.sagemaker.create_hyper_parameter_tuning_job,
    }
    creators[kind](**{**requests[kind](), KINDS[kind][1]: name})


@pytest.mark.parametrize("kind", LISTINGS)
def test_listing_filters_sorts_and_pages(bench: Workbench, kind: str) -> None:
    operation, into = LISTINGS[kind]
    _, named, status = KINDS[kind]
    stem = unique("list")
    jobs = {}
    for letter, outcome in OUTCOMES.items():
        script = "print('loss=1')" if outcome == "Completed" else "raise SystemExit(1)"
        create(bench, kind, f"{stem}-{letter}", script)
        jobs[letter] = bench.finished(kind, f"{stem}-{letter}")
    assert {letter: job[status] for letter, job in jobs.items()} == OUTCOMES

    def listed(**wanted: Any) -> str:
        pages = bench.sagemaker.get_paginator(operation).paginate(NameContains=stem.upper(), **wanted)
        return "".join(job[named][-1] for page in pages for job in page[into])

    assert listed(PaginationConfig={"PageSize": 2}) == ("abc" if kind == "TuningJob" else "bca")
    assert listed(SortBy="CreationTime", SortOrder="Descending") == "acb"
    assert listed(SortBy="Name") == "abc"
    assert listed(SortBy="Name", SortOrder="Descending") == "cba"
    assert listed(SortBy="Status") == "cab"
    assert (listed(StatusEquals="Failed"), listed(StatusEquals="Stopped")) == ("b", "")
    created = jobs["c"]["CreationTime"]
    assert (listed(CreationTimeAfter=created), listed(CreationTimeBefore=created)) == ("a", "b")
    changed = jobs["c"]["LastModifiedTime"]
    assert (listed(LastModifiedTimeAfter=changed), listed(LastModifiedTimeBefore=changed)) == ("a", "b")
    hour = timedelta(hours=1)
    assert listed(CreationTimeAfter=created + hour) == listed(LastModifiedTimeBefore=created - hour) == ""
    first = getattr(bench.sagemaker, operation)(NameContains=stem, MaxResults=1)
    assert (len(first[into]), "NextToken" in first) == (1, True)
    assert refused(getattr(bench.sagemaker, operation), NextToken="not one of these")[0] == "ValidationException"
    assert refused(getattr(bench.sagemaker, operation), MaxResults=101)[0] == "ValidationException"


def test_trials_of_a_tuning_job_are_listed_by_name_status_and_objective(bench: Workbench) -> None:
    script = "import sys\nrate = float(sys.argv[sys.argv.index('--rate') + 1])\nassert rate < 3\nprint(f'loss={rate}')"
    ranges = {"CategoricalParameterRanges": [{"Name": "rate", "Values": ["2", "1", "3"]}]}
    limits = {"MaxParallelTrainingJobs": 1}
    config = {"Strategy": "Grid", "ResourceLimits": limits, "ParameterRanges": ranges}
    request = bench.tuning_request(script, config)
    name = request["HyperParameterTuningJobName"]
    bench.sagemaker.create_hyper_parameter_tuning_job(**request)
    assert bench.finished("TuningJob", name)["HyperParameterTuningJobStatus"] == "Completed"

    def listed(**wanted: Any) -> list[str]:
        answer = bench.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name, **wanted
        )
        return [trial["TunedHyperParameters"]["rate"] for trial in answer["TrainingJobSummaries"]]

    in_order = listed()
    assert sorted(in_order) == ["1", "2", "3"]
    assert listed(SortOrder="Descending") == in_order[::-1]
    assert listed(SortBy="FinalObjectiveMetricValue") == ["1", "2"]
    assert listed(SortBy="FinalObjectiveMetricValue", SortOrder="Descending") == ["2", "1"]
    assert listed(StatusEquals="Failed") == ["3"]
    assert listed(SortBy="Status")[-1] == "3"
