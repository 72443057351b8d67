"""SageMaker jobs that survive Airflow, and that Airflow stops: tuning, training and processing alike.

The provider's operators start a second job on a retry, leave jobs running when a task is cleared, marked failed or
timed out, and give up after a default time that knows nothing of the job's own limit. Here a job's name comes from the
run, so before creating one the operator looks whether it is there: in progress, it is adopted; completed, it is
used; failed or stopped, the next attempt's name is taken; being stopped, it is waited for first.
"""

import datetime
from typing import Any, ClassVar, NoReturn

from airflow.providers.amazon.aws.operators.sagemaker import (
    SageMakerBaseOperator,
    SageMakerProcessingOperator,
    SageMakerTrainingOperator,
    SageMakerTuningOperator,
    serialize,
)
from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.sdk import Context
from botocore.exceptions import ClientError

from kennel import names, registry, tuning
from kennel.defaults import FINAL_REASONS, NO_TRIAL, JobAtFaultError, JobFailedError
from kennel.triggers.jobs import KINDS, JobTrigger, Kind, StatusTrigger

# Beyond a job's own limit: what SageMaker takes to find the instance, and to stop the job at its limit.
PATIENCE = datetime.timedelta(hours=1)


# What a job is made of; how long it may take and on what it runs may differ on a retry.
CONTENT = (
    "AppSpecification",
    "ProcessingInputs",
    "AlgorithmSpecification",
    "HyperParameters",
    "InputDataConfig",
    "HyperParameterTuningJobConfig",
    "TrainingJobDefinition",
)


def _contains(described: Any, asked: Any) -> bool:
    """Whether a description has all that was asked for; SageMaker adds what was left to it."""
    if isinstance(asked, dict):
        return isinstance(described, dict) and all(_contains(described.get(key), asked[key]) for key in asked)
    if isinstance(asked, list):
        return isinstance(described, list) and all(map(_contains, described, asked)) and len(described) == len(asked)
    return asked is None or bool(described == asked)


class _Job(SageMakerBaseOperator):
    """What the three kinds of jobs share. Subclasses say how their API calls things."""

    job_type: ClassVar[str]
    name_limit: ClassVar[int] = names.JOB_LIMIT

    check_interval: int
    job_name: str | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Find the run's job or create it, then wait for it in the triggerer."""
        name, job = self._claim()
        status = job.get(self._kind.status_member)
        if status == "Stopping":
            self.log.info("%s job %s is being stopped: waiting for its end", self.job_type, name)
            self._wait(name, "execute_after_stop", StatusTrigger)
        self.job_name = name
        if status == "Completed":
            self.log.info("Using %s job %s, which has completed", self.job_type, name)
            return self._result(job)
        if job:
            self.log.info("Adopting %s job %s, which is in progress", self.job_type, name)
        else:
            self._create(name)
        return self._wait(name, "execute_complete", JobTrigger, adopted=bool(job))

    def execute_after_stop(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Go on with the next attempt once the one that was being stopped has ended."""
        end = validate_execute_complete_event(event)
        if end["status"] == "timeout":
            raise JobFailedError(f"{self.job_type} job {end['job_name']} does not stop: {end['message']}")
        return self.execute(context)

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, adopted: bool = False
    ) -> dict[str, Any]:
        """Return the job's description, or fail with its own reason. A job that outlasted our patience is stopped.

        When a deferred task is cleared, Airflow runs the new try before it tells the old one's trigger to stop the
        job: so a job that this try had adopted, and that was stopped, is followed by the next attempt.
        """
        end = validate_execute_complete_event(event)
        self.job_name = end["job_name"]
        if end["status"] == "timeout":
            self.on_kill()
        if end["status"] == "stopped" and adopted:
            self.log.info("%s job %s was stopped by an earlier try's end", self.job_type, end["job_name"])
            return self.execute(context)
        job = self._describe(end["job_name"])
        if end["status"] != "success":
            raise self._failure(job, end)
        return self._result(job)

    def on_kill(self) -> None:
        """Stop the job that this task created or adopted."""
        if self.job_name is None:
            return
        try:
            getattr(self.hook.conn, f"stop_{self._kind.noun}")(**{self._kind.name_member: self.job_name})
        except ClientError as error:
            self.log.info("%s job %s was not stopped: %s", self.job_type, self.job_name, error)

    def max_runtime(self) -> datetime.timedelta:
        """How long the job may take by its own limits."""
        return datetime.timedelta(seconds=self.config["StoppingCondition"]["MaxRuntimeInSeconds"])

    @property
    def _kind(self) -> Kind:
        return KINDS[self.job_type]

    def _claim(self) -> tuple[str, dict[str, Any]]:
        """The first attempt's name that has not failed, with its job, or an empty dict.

        A job of the name that was made of something else is passed over: the run's photos or code have changed since.
        """
        base = self.config[self._kind.name_member]
        attempt = 1
        while True:
            name = names.fit(base, self.name_limit, attempt)
            job = self._describe(name)
            if not job or job[self._kind.status_member] == "Stopping":
                return name, job
            if job[self._kind.status_member] in ("InProgress", "Completed") and self._is_ours(job):
                return name, job
            self.log.info("%s job %s is %s; taking the next name", self.job_type, name, job[self._kind.status_member])
            attempt += 1

    def _create(self, name: str) -> None:
        """Create the job. When the answer to that was lost and boto3 has asked again, the job is there already."""
        self.config[self._kind.name_member] = name
        self.preprocess_config()
        self.log.info("Creating %s job %s", self.job_type, name)
        try:
            getattr(self.hook.conn, f"create_{self._kind.noun}")(**self.config)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceInUse" or not self._is_ours(self._describe(name)):
                raise

    def _is_ours(self, job: dict[str, Any]) -> bool:
        return all(_contains(job.get(member), self.config.get(member)) for member in CONTENT)

    def _describe(self, name: str) -> dict[str, Any]:
        """The job, or an empty dict when there is none of that name."""
        describe = getattr(self.hook.conn, f"describe_{self._kind.noun}")
        return registry.described(describe, **{self._kind.name_member: name})

    def _failure(self, job: dict[str, Any], end: dict[str, Any]) -> JobFailedError:
        """The job's own reason: what its script wrote, else what SageMaker says of it."""
        said = job.get("ExitMessage")
        reason = said or job.get("FailureReason") or end["message"] or "it was stopped"
        if job.get("SecondaryStatus") == "MaxRuntimeExceeded":
            said = reason = f"it took longer than its limit of {self.max_runtime()}: raise max_runtime_minutes"
        at_fault = bool(said) or reason.startswith(FINAL_REASONS)
        kind = JobAtFaultError if at_fault else JobFailedError
        return kind(f"{reason} ({self.job_type} job {end['job_name']} {end['status']})")

    def _result(self, job: dict[str, Any]) -> dict[str, Any]:
        return {self.job_type: serialize(job)}

    def _wait(self, name: str, method: str, trigger: type[StatusTrigger], **kwargs: Any) -> NoReturn:
        """Defer. The trigger's patience is longer than the job's own limit, so it is the job that ends first."""
        patience = self.max_runtime() + PATIENCE
        self.defer(
            trigger=trigger(
                job_name=name,
                job_type=self.job_type,
                waiter_delay=self.check_interval,
                waiter_max_attempts=int(patience.total_seconds()) // self.check_interval,
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                botocore_config=self.botocore_config,
            ),
            method_name=method,
            kwargs=kwargs,
        )


class ProcessingJobOperator(_Job, SageMakerProcessingOperator):
    """Run a processing job; XCom is `{"Processing": description}`."""

    job_type = "Processing"


class TrainingJobOperator(_Job, SageMakerTrainingOperator):
    """Run a training job; XCom is `{"Training": description}`."""

    job_type = "Training"


class TuningJobOperator(_Job, SageMakerTuningOperator):
    """Run a tuning job; XCom is `{"Tuning": description}`. One without a best trial fails."""

    job_type = "Tuning"
    name_limit = names.TUNING_JOB_LIMIT

    def max_runtime(self) -> datetime.timedelta:
        """Every trial's limit, as many after one another as the parallel ones leave."""
        limits = self.config["HyperParameterTuningJobConfig"]["ResourceLimits"]
        rounds: int = -(-limits["MaxNumberOfTrainingJobs"] // limits["MaxParallelTrainingJobs"])
        trial: int = self.config["TrainingJobDefinition"]["StoppingCondition"]["MaxRuntimeInSeconds"]
        return rounds * datetime.timedelta(seconds=trial)

    def _failure(self, job: dict[str, Any], end: dict[str, Any]) -> JobFailedError:
        """When every trial failed, what the first of them said: SageMaker only says to look at them."""
        if job.get("FailureReason", "").startswith(NO_TRIAL):
            reasons = (trial.get("FailureReason") for trial in tuning.summaries(self.hook.conn, end["job_name"]))
            job = {**job, "FailureReason": next(filter(None, reasons), job["FailureReason"])}
        return super()._failure(job, end)

    def _result(self, job: dict[str, Any]) -> dict[str, Any]:
        """SageMaker also calls a tuning job completed in which no trial was."""
        if "BestTrainingJob" not in job:
            raise JobAtFaultError(
                f"tuning job {self.job_name} has no best trial ({job['TrainingJobStatusCounters']}): "
                "look at its trials' logs, and whether they print the objective"
            )
        return super()._result(job)
