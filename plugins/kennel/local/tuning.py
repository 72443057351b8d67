"""A tuning job as it stands: its trials, and the best of them."""

from dataclasses import dataclass
from itertools import count
from typing import Any

from botocore.exceptions import ClientError

from kennel import names
from kennel.registry import MISSING

JOB = "HyperParameterTuningJobName"


@dataclass(frozen=True)
class Trial:
    """One training job of a tuning job; `objective` is there when the trial has reported one."""

    name: str
    status: str
    objective: float | None
    hyperparameters: dict[str, str]


def latest_job(sagemaker: Any, run: str) -> str | None:
    """The name of a run's tuning job: of its latest attempt; None when there is none yet."""
    found = None
    for attempt in count(1):
        name = names.fit(run, names.TUNING_JOB_LIMIT, attempt)
        try:
            status = sagemaker.describe_hyper_parameter_tuning_job(**{JOB: name})["HyperParameterTuningJobStatus"]
        except ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                return found
            raise
        found = name
        if status in {"InProgress", "Completed"}:
            return found
    return None


def trials(sagemaker: Any, job: str) -> list[Trial]:
    """Every trial so far, in the order of their names' numbers."""
    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(**{JOB: job})
    found = [_trial(summary) for page in pages for summary in page["TrainingJobSummaries"]]
    return sorted(found, key=lambda trial: trial.name)


def best(sagemaker: Any, job: str) -> Trial:
    """The best trial of a completed tuning job."""
    return _trial(sagemaker.describe_hyper_parameter_tuning_job(**{JOB: job})["BestTrainingJob"])


def _trial(summary: dict[str, Any]) -> Trial:
    metric = summary.get("FinalHyperParameterTuningJobObjectiveMetric")
    tuned = {name: value.strip('"') for name, value in summary["TunedHyperParameters"].items()}
    return Trial(summary["TrainingJobName"], summary["TrainingJobStatus"], metric and metric["Value"], tuned)
