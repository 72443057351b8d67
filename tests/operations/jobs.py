"""What SageMaker shows of the jobs of a run."""

from typing import Any

from tests.operations.machine import Machine

WORDS = {
    "embed": ("processing_job", "ProcessingJob"),
    "tune": ("hyper_parameter_tuning_job", "HyperParameterTuningJob"),
    "train": ("training_job", "TrainingJob"),
}
LIVE = {"InProgress", "Stopping"}


def statuses(machine: Machine, kind: str, containing: str) -> dict[str, str]:
    """The jobs of a kind whose names contain something, with their statuses."""
    method, noun = WORDS[kind]
    pages = machine.client("sagemaker").get_paginator(f"list_{method}s").paginate(NameContains=containing)
    jobs: list[dict[str, Any]] = [job for page in pages for job in page[f"{noun}Summaries"]]
    return {job[f"{noun}Name"]: job[f"{noun}Status"] for job in jobs}


def live(machine: Machine, kind: str, containing: str) -> list[str]:
    """Those that cost money now."""
    return [name for name, status in statuses(machine, kind, containing).items() if status in LIVE]


def described(machine: Machine, kind: str, name: str) -> dict[str, Any]:
    """A job's description."""
    method, noun = WORDS[kind]
    return dict(getattr(machine.client("sagemaker"), f"describe_{method}")(**{f"{noun}Name": name}))
