"""The job operators against the local AWS's real jobs: nothing is started twice, and what is called off is stopped."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any, cast

import pytest
from airflow.sdk import Context
from airflow.sdk.exceptions import TaskDeferred

from kennel.defaults import JobAtFaultError, JobFailedError, OnlyWhatMayPass
from kennel.operators.jobs import TrainingJobOperator, TuningJobOperator
from kennel.triggers.jobs import JobTrigger

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-cpu-py312"
QUICK = "print('loss=0.5;')"
SLOW = "import time; time.sleep(600)"
BROKEN = "raise ValueError('no photos at all')"
NO_CONTEXT = cast(Context, {})


@pytest.fixture
def training(bucket: str, role_arn: str, upload_script: Callable[[str], str]) -> Callable[..., TrainingJobOperator]:
    """Make an operator, as every try of a task does, for a job of the given name and script."""

    def make(name: str, script: str) -> TrainingJobOperator:
        return TrainingJobOperator(
            task_id="train",
            check_interval=1,
            config={
                "TrainingJobName": name,
                "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
                "RoleArn": role_arn,
                "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/out"},
                "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
                "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
                "HyperParameters": {
                    "sagemaker_program": "train.py",
                    "sagemaker_submit_directory": upload_script(script),
                },
            },
        )

    return make


@pytest.fixture
def name() -> str:
    return f"job-{uuid.uuid4().hex[:12]}"


def defer(operator: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(NO_CONTEXT)
    return deferred.value


def event_of(trigger: Any) -> dict[str, Any]:
    """What the triggerer would hand back to the task."""

    async def first() -> Any:
        return (await anext(aiter(trigger.run()))).payload

    return cast(dict[str, Any], asyncio.run(first()))


def names_starting_with(local_aws: Any, name: str) -> list[str]:
    jobs = local_aws.client("sagemaker").list_training_jobs(NameContains=name)["TrainingJobSummaries"]
    return sorted(job["TrainingJobName"] for job in jobs)


def test_a_job_is_created_waited_for_and_returned(training: Any, name: str) -> None:
    deferred = defer(training(name, QUICK))
    result = training(name, QUICK).execute_complete(NO_CONTEXT, event_of(deferred.trigger))
    assert result["Training"]["TrainingJobStatus"] == "Completed"
    assert result["Training"]["ModelArtifacts"]["S3ModelArtifacts"].endswith(f"{name}/output/model.tar.gz")


def test_a_retry_adopts_the_job_in_progress(local_aws: Any, training: Any, name: str) -> None:
    defer(training(name, SLOW))
    again = defer(training(name, SLOW))
    assert cast(JobTrigger, again.trigger).job_name == name
    assert names_starting_with(local_aws, name) == [name]
    local_aws.client("sagemaker").stop_training_job(TrainingJobName=name)


def test_a_retry_uses_the_completed_job(local_aws: Any, training: Any, name: str) -> None:
    event_of(defer(training(name, QUICK)).trigger)
    assert training(name, QUICK).execute(NO_CONTEXT)["Training"]["TrainingJobName"] == name
    assert names_starting_with(local_aws, name) == [name]


def test_a_failed_job_fails_with_its_own_reason_and_is_not_retried(training: Any, name: str) -> None:
    deferred = defer(training(name, BROKEN))
    with pytest.raises(JobFailedError, match="no photos at all") as failure:
        training(name, BROKEN).execute_complete(NO_CONTEXT, event_of(deferred.trigger))
    assert OnlyWhatMayPass().evaluate(failure.value, 1, 3).action.value == "fail"


def test_a_completed_job_made_of_something_else_is_not_taken_for_this_one(
    local_aws: Any, training: Any, name: str
) -> None:
    event_of(defer(training(name, QUICK)).trigger)
    again = defer(training(name, QUICK + "  # mended"))
    assert cast(JobTrigger, again.trigger).job_name == f"{name}-r2"
    event_of(again.trigger)


def test_after_a_failed_job_the_next_attempt_has_its_own_name(local_aws: Any, training: Any, name: str) -> None:
    event_of(defer(training(name, BROKEN)).trigger)
    again = defer(training(name, QUICK))
    assert cast(JobTrigger, again.trigger).job_name == f"{name}-r2"
    assert event_of(again.trigger)["status"] == "success"
    assert names_starting_with(local_aws, name) == [name, f"{name}-r2"]


def test_killing_the_task_stops_its_job(local_aws: Any, training: Any, name: str) -> None:
    operator = training(name, SLOW)
    deferred = defer(operator)
    operator.on_kill()
    assert event_of(deferred.trigger)["status"] == "stopped"


def test_clearing_the_deferred_task_stops_its_job(training: Any, name: str) -> None:
    trigger = cast(JobTrigger, defer(training(name, SLOW)).trigger)
    asyncio.run(trigger.on_kill())
    assert event_of(trigger)["status"] == "stopped"
    asyncio.run(trigger.on_kill())  # once more: a job that has ended is left as it is


def test_a_job_that_outlasts_the_patience_is_stopped(local_aws: Any, training: Any, name: str) -> None:
    trigger = cast(JobTrigger, defer(training(name, SLOW)).trigger)
    with pytest.raises(JobFailedError, match="max attempts reached"):
        training(name, SLOW).execute_complete(
            NO_CONTEXT, {"status": "timeout", "job_name": name, "message": "max attempts reached"}
        )
    assert event_of(trigger)["status"] == "stopped"


def test_the_patience_is_longer_than_the_jobs_own_limit(local_aws: Any, training: Any, name: str) -> None:
    trigger = cast(JobTrigger, defer(training(name, SLOW)).trigger)
    assert trigger.attempts * trigger.waiter_delay > 3600
    asyncio.run(trigger.on_kill())


@pytest.fixture
def tuning(training: Any, name: str) -> Callable[[str], TuningJobOperator]:
    """A tuning job of two trials of a script."""

    def make(script: str) -> TuningJobOperator:
        definition = training(name, script).config
        del definition["TrainingJobName"]
        definition["StaticHyperParameters"] = definition.pop("HyperParameters")
        definition["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]
        return TuningJobOperator(
            task_id="tune",
            check_interval=1,
            config={
                "HyperParameterTuningJobName": name,
                "HyperParameterTuningJobConfig": {
                    "Strategy": "Random",
                    "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
                    "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
                    "ParameterRanges": {
                        "ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0.1", "MaxValue": "1"}]
                    },
                },
                "TrainingJobDefinition": definition,
            },
        )

    return make


def test_a_tuning_job_gives_its_best_trial(tuning: Any) -> None:
    result = tuning(QUICK).execute_complete(NO_CONTEXT, event_of(defer(tuning(QUICK)).trigger))
    best = result["Tuning"]["BestTrainingJob"]
    assert best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.5
    assert 0.1 <= float(best["TunedHyperParameters"]["rate"]) <= 1


def test_a_tuning_job_without_a_best_trial_fails(tuning: Any) -> None:
    silent = "print('nothing to measure')"
    event = event_of(defer(tuning(silent)).trigger)
    with pytest.raises(JobAtFaultError):
        tuning(silent).execute_complete(NO_CONTEXT, event)
