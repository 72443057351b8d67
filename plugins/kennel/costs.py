"""What a run may cost at most, and what it has cost: instance seconds, and money by the prices in the TOML."""

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kennel import names, tuning
from kennel.config import Classifier, Costs, Instance
from kennel.specs import ec2

Description = dict[str, Any]


class CostError(ValueError):
    """A run that may not start; the message says what it could cost, or which price is missing."""


@dataclass(frozen=True)
class Planned:
    """A stage before it runs: so many jobs on so many instances each, for so many seconds at most."""

    stage: str
    jobs: int
    instances: int
    instance_type: str
    seconds: int


@dataclass(frozen=True)
class Billed:
    """A stage that has run: instance seconds billed. None are when an earlier run had paid for it already."""

    stage: str
    instance_type: str
    seconds: int


def planned(classifier: Classifier, max_jobs: int, training_instance_type: str) -> list[Planned]:
    """The stages of a run on SageMaker; a job's limit stops it, so none takes longer."""
    tune, train = classifier.tune, classifier.train
    return [
        _one("embed", classifier.embed, classifier.embed.instance_count),
        Planned("tune", max_jobs, 1, training_instance_type, tune.max_runtime_minutes * 60),
        Planned("train", 1, train.instance_count, training_instance_type, train.max_runtime_minutes * 60),
        _one("evaluate", classifier.evaluate),
    ]


def planned_on_ec2(classifier: Classifier, instance_type: str) -> list[Planned]:
    """The stages of a run that trains on EC2, on demand, for as long as the instance lets itself live."""
    return [
        _one("embed", classifier.embed, classifier.embed.instance_count),
        Planned("train", 1, 1, instance_type, ec2.limit_minutes(classifier) * 60),
        _one("evaluate", classifier.evaluate),
    ]


def _one(stage: str, instance: Instance, instances: int = 1) -> Planned:
    return Planned(stage, 1, instances, instance.instance_type, instance.max_runtime_minutes * 60)


def check(stages: Iterable[Planned], costs: Costs) -> float:
    """The most that the stages can cost, in USD. Raises CostError when that is above `max_cost`."""
    bounds = {
        stage.stage: stage.jobs * stage.instances * stage.seconds / 3600 * price(costs.prices, stage.instance_type)
        for stage in stages
    }
    total = sum(bounds.values())
    if total > costs.max_cost:
        parts = ", ".join(f"{stage} {bound:.2f}" for stage, bound in bounds.items())
        raise CostError(
            f"this run could cost up to {total:.2f} USD ({parts}), more than costs.max_cost = {costs.max_cost:.2f}: "
            "run fewer trials or smaller instances, lower max_runtime_minutes, or raise max_cost"
        )
    return total


def price(prices: Mapping[str, float], instance_type: str) -> float:
    """USD an hour. Raises CostError when the TOML does not say."""
    try:
        return prices[instance_type]
    except KeyError:
        raise CostError(f"costs.prices has no price of {instance_type}: add it, in USD an hour") from None


def billed(sagemaker: Any, stages: Mapping[str, Any], started: datetime.datetime) -> list[Billed]:
    """What SageMaker has billed for the stages of a run begun at `started`, earlier attempts included.

    `stages` has the XCom of each stage's task: `{"Processing" | "Tuning" | "Training": description}`, or None.
    """
    found = []
    for stage, result in stages.items():
        for kind, job in (result or {}).items():
            found.append(BILLED[kind](sagemaker, stage, job, started))
    return found


def _processing(sagemaker: Any, stage: str, job: Description, started: datetime.datetime) -> Billed:
    seconds = 0
    for name in names.attempts(job["ProcessingJobName"]):
        found = sagemaker.describe_processing_job(ProcessingJobName=name)
        if found["CreationTime"] >= started and "ProcessingStartTime" in found:
            seconds += _seconds(found["ProcessingStartTime"], found.get("ProcessingEndTime"))
    cluster = job["ProcessingResources"]["ClusterConfig"]
    return Billed(stage, cluster["InstanceType"], seconds * cluster["InstanceCount"])


def _tuning(sagemaker: Any, stage: str, job: Description, started: datetime.datetime) -> Billed:
    seconds = 0
    for name in names.attempts(job["HyperParameterTuningJobName"]):
        for trial in tuning.summaries(sagemaker, name):
            if "TrainingStartTime" in trial:
                seconds += _seconds(trial["TrainingStartTime"], trial.get("TrainingEndTime"))
    return Billed(stage, job["TrainingJobDefinition"]["ResourceConfig"]["InstanceType"], seconds)


def _training(sagemaker: Any, stage: str, job: Description, started: datetime.datetime) -> Billed:
    cluster = job["ResourceConfig"]
    *before, _ = names.attempts(job.get("TrainingJobName", ""))
    earlier = (sagemaker.describe_training_job(TrainingJobName=name) for name in before)
    seconds = sum(found.get("BillableTimeInSeconds", 0) for found in (*earlier, job))
    return Billed(stage, cluster["InstanceType"], seconds * cluster["InstanceCount"])


def _seconds(start: datetime.datetime, end: datetime.datetime | None) -> int:
    return round(((end or datetime.datetime.now(datetime.UTC)) - start).total_seconds())


BILLED: dict[str, Callable[[Any, str, Description, datetime.datetime], Billed]] = {
    "Processing": _processing,
    "Tuning": _tuning,
    "Training": _training,
}


def money(stage: Billed, prices: Mapping[str, float]) -> float:
    """USD."""
    return stage.seconds / 3600 * price(prices, stage.instance_type)
