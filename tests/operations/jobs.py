"""What SageMaker shows of the jobs of a run."""

from typing import Any

from tests.operations.machine import Machine

LISTS = {
    "embed": ("list_processing_jobs", "ProcessingJobSummaries", "ProcessingJob"),
    "tune": ("list_hyper_parameter_tuning_jobs", "HyperParameterTuningJobSummaries", "HyperParameterTuningJob"),
    "train": ("list_training_jobs", "TrainingJobSummaries", "TrainingJob"),
}
LIVE = {"InProgress", "Stopping"}


def statuses(machine: Machine, kind: str, containing: str) -> dict[str, str]:
    """The jobs of a kind whose names contain something, with their statuses."""
    operation, key, noun = LISTS[kind]
    pages = machine.client("sagemaker").get_paginator(operation).paginate(NameContains=containing)
    jobs: list[dict[str, Any]] = [job for page in pages for job in page[key]]
    return {job[f"{noun}Name"]: job[f"{noun}Status"] for job in jobs}


def live(machine: Machine, kind: str, containing: str) -> list[str]:
    """Those that cost money now."""
    return [name for name, status in statuses(machine, kind, containing).items() if status in LIVE]
