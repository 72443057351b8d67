"""A tuning job as it stands: its trials, and the best of them."""

import math
from collections.abc import Iterator
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


def readable(hyperparameters: dict[str, str]) -> str:
    """Hyperparameters in a line, with four digits of each number that is not whole."""
    return ", ".join(f"{name} {_shortened(value)}" for name, value in sorted(hyperparameters.items()))


def _shortened(value: str) -> str:
    try:
        return value if value.isdecimal() else f"{float(value):.4g}"
    except ValueError:
        return value


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


def summaries(sagemaker: Any, job: str) -> Iterator[dict[str, Any]]:
    """What SageMaker lists of every training job of a tuning job."""
    for page in sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(**{JOB: job}):
        yield from page["TrainingJobSummaries"]


def trials(sagemaker: Any, job: str) -> list[Trial]:
    """Every trial so far, in the order of their names' numbers."""
    return sorted((_trial(summary) for summary in summaries(sagemaker, job)), key=lambda trial: trial.name)


def ranked(sagemaker: Any, tuned: dict[str, Any]) -> list[Trial]:
    """The trials of a completed tuning job, by its description: the one SageMaker chose, then those nearest to it."""
    best = tuned["BestTrainingJob"]["TrainingJobName"]

    def place(trial: Trial) -> tuple[bool, float]:
        return trial.name != best, math.inf if trial.objective is None else trial.objective

    return sorted(trials(sagemaker, tuned[JOB]), key=place)


def best(sagemaker: Any, job: str) -> Trial:
    """The best trial of a completed tuning job."""
    return _trial(sagemaker.describe_hyper_parameter_tuning_job(**{JOB: job})["BestTrainingJob"])


def _trial(summary: dict[str, Any]) -> Trial:
    metric = summary.get("FinalHyperParameterTuningJobObjectiveMetric")
    tuned = {name: value.strip('"') for name, value in summary["TunedHyperParameters"].items()}
    return Trial(summary["TrainingJobName"], summary["TrainingJobStatus"], metric and metric["Value"], tuned)
