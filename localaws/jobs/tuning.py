"""One tuning job: training jobs with hyperparameters of its choice, several at a time, until it has tried enough."""

import contextlib
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from localaws.cloud import Cloud, Credentials, now
from localaws.jobs import training
from localaws.jobs.live import FINAL, AbandonedError, JobError, Recorded, Run, StoppedError
from localaws.store import Document

if TYPE_CHECKING:
    from localaws.jobs.search import Search

KIND, TITLE = "tuning-job", "HyperParameterTuning"
# After so many training jobs without one that succeeded, SageMaker gives up.
HOPELESS = 5
# What a training job takes over from the tuning job's definition.
_DEFINITION = (
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "VpcConfig",
    "OutputDataConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "CheckpointConfig",
    "Environment",
)


def children(cloud: Cloud, tuning_job: Document) -> list[Document]:
    """The records of its training jobs, oldest first."""
    found = (cloud.store.get(training.KIND, name) for name in tuning_job["TrainingJobNames"])
    return [document for document in found if document]


def objective_value(tuning_job: Document, child: Document) -> float | None:
    """The objective of a training job that has one to count: it completed, or was stopped early."""
    metric = tuning_job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    if child["TrainingJobStatus"] not in ("Completed", "Stopped"):
        return None
    values = [entry["Value"] for entry in child.get("FinalMetricDataList", ()) if entry["MetricName"] == metric]
    return values[0] if values else None


def training_definition(tuning_job: Document) -> dict[str, Any]:
    """The CreateTrainingJob request of its training jobs, without name and hyperparameters."""
    definition = tuning_job["TrainingJobDefinition"]
    request = {key: definition[key] for key in _DEFINITION if key in definition}
    resources = definition.get("HyperParameterTuningResourceConfig") or definition.get("ResourceConfig") or {}
    return {**request, "ResourceConfig": resources}


class TuningJob(Recorded):
    """A job whose record is in the store."""

    kind, title = KIND, TITLE

    def __init__(self, cloud: Cloud, name: str, credentials: Credentials) -> None:
        super().__init__(cloud, name)
        self._credentials = credentials
        self._enough = threading.Event()

    def run(self, run: Run) -> None:
        """Do the job; its outcome is in its record."""
        from localaws.jobs.search import Search

        document = self._document()
        config = document["HyperParameterTuningJobConfig"]
        limits = config["ResourceLimits"]
        parallel = limits["MaxParallelTrainingJobs"]
        search = Search(config, parallel)
        self._learn(search, document)
        with ThreadPoolExecutor(parallel) as pool:
            workers = [pool.submit(self._work, run, search, document) for _ in range(parallel)]
        for worker in workers:
            worker.result()
        run.check()
        document = self._document()
        jobs = children(self._cloud, document)
        if not any(objective_value(document, job) is not None for job in jobs):
            raise JobError(_why_nothing(jobs))
        self._finish(run, "Completed")

    def _document(self) -> Document:
        document = self._cloud.store.get(KIND, self._name)
        if document is None:
            raise JobError("InternalServerError: the job's record is gone")
        return document

    def _learn(self, search: "Search", document: Document) -> None:
        """Begin with what the parents of a warm start found out."""
        for parent in document.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", ()):
            earlier = self._cloud.store.get(KIND, parent["HyperParameterTuningJobName"])
            for job in children(self._cloud, earlier) if earlier else ():
                value = objective_value(earlier or {}, job)
                if value is not None:
                    search.learn(job["TunedHyperParameters"], value)

    def _work(self, run: Run, search: "Search", document: Document) -> None:
        """One of the parallel lanes: a training job after the other."""
        with contextlib.suppress(StoppedError):
            while not self._enough.is_set() and self._try(run, search, document):
                self._consider()

    def _try(self, run: Run, search: "Search", document: Document) -> bool:
        """Run one more training job; False when all have been."""
        config = document["HyperParameterTuningJobConfig"]
        objective = config["HyperParameterTuningJobObjective"]["MetricName"]
        step = 0

        def on_value(metric: str, value: float) -> None:
            nonlocal step
            if metric == objective:
                step += 1
                if search.report(trial, step, value):
                    training.stop(self._cloud, name)

        with run.lock:
            run.check()
            names = self._document()["TrainingJobNames"]
            if len(names) >= config["ResourceLimits"]["MaxNumberOfTrainingJobs"]:
                return False
            trial, tuned = search.ask()
            name = f"{self._name}-{len(names) + 1:03d}-{secrets.token_hex(4)}"
            static = document["TrainingJobDefinition"].get("StaticHyperParameters", {})
            request = {
                **training_definition(document),
                "TrainingJobName": name,
                "HyperParameters": {**static, **tuned, "_tuning_objective_metric": objective},
                "TuningJobArn": document["HyperParameterTuningJobArn"],
                "TunedHyperParameters": tuned,
            }
            share = config["ResourceLimits"]["MaxParallelTrainingJobs"]
            _, child = training.start(self._cloud, request, self._credentials, share, on_value)
            moment = now()
            self._cloud.store.update(KIND, self._name, TrainingJobNames=[*names, name], LastModifiedTime=moment)
        child.finished.wait()
        outcome = self._cloud.store.get(training.KIND, name) or {}
        if outcome.get("TrainingJobStatus") not in FINAL:
            raise AbandonedError
        search.tell(trial, objective_value(document, outcome))
        return True

    def _consider(self) -> None:
        """Set `_enough`, and stop what runs, when the target is reached or nothing ever succeeds."""
        document = self._document()
        jobs = children(self._cloud, document)
        values = [value for job in jobs if (value := objective_value(document, job)) is not None]
        finished = sum(job["TrainingJobStatus"] in FINAL for job in jobs)
        if _reached(document["HyperParameterTuningJobConfig"], values) or (not values and finished >= HOPELESS):
            self._enough.set()
            for job in jobs:
                training.stop(self._cloud, job["TrainingJobName"])


def _reached(config: dict[str, Any], values: Sequence[float]) -> bool:
    target = config.get("TuningJobCompletionCriteria", {}).get("TargetObjectiveMetricValue")
    if target is None or not values:
        return False
    maximize = config["HyperParameterTuningJobObjective"]["Type"] == "Maximize"
    return bool(max(values) >= target if maximize else min(values) <= target)


def _why_nothing(jobs: Sequence[Document]) -> str:
    if any(job["TrainingJobStatus"] == "Completed" for job in jobs):
        return (
            f"No objective metrics found after running {len(jobs)} training jobs. Please ensure that the custom "
            "algorithm is emitting the objective metric as defined by the regular expression provided."
        )
    last = next((job["FailureReason"] for job in reversed(jobs) if "FailureReason" in job), "none gave a reason")
    return (
        f"No training job succeeded after {len(jobs)} attempts. Please take a look at the training job failures to "
        f"get more details. The last one: {last}"
    )
