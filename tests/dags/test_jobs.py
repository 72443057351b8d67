"""The job operators against the local AWS's real jobs: nothing is started twice, and what is called off is stopped."""

import asyncio
import contextlib
import datetime
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from airflow.sdk import Context
from airflow.sdk.exceptions import TaskDeferred
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session

from kennel import costs
from kennel.defaults import JobAtFaultError, JobFailedError, OnlyWhatMayPass
from kennel.operators.jobs import TrainingJobOperator, TuningJobOperator
from kennel.triggers.jobs import JobTrigger
from kennel.tuning import ranked

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-cpu-py312"
QUICK = "print('loss=0.5;')"
SLOW = "import time; time.sleep(600)"
STUBBORN = """
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
while not pathlib.Path({permission!r}).exists():
    time.sleep(0.1)
"""
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


def test_every_attempt_of_a_stage_is_paid_for(local_aws: Any, training: Any, tuning: Any, name: str) -> None:
    client = local_aws.client("sagemaker")
    for make, stage in ((training, "train"), (lambda _, script: tuning(script), "tune")):
        event_of(defer(make(name, "import time; time.sleep(2); " + BROKEN)).trigger)
        again = make(name, "import time; time.sleep(2); " + QUICK)
        result = again.execute_complete(NO_CONTEXT, event_of(defer(again).trigger))
        (billed,) = costs.billed(client, {stage: result, "evaluate": None}, datetime.datetime.now(datetime.UTC))
        jobs = client.list_training_jobs(NameContains=name)["TrainingJobSummaries"]
        seconds = [
            client.describe_training_job(TrainingJobName=job["TrainingJobName"])["BillableTimeInSeconds"]
            for job in jobs
            if (job["TrainingJobName"] in (name, f"{name}-r2")) == (stage == "train")
        ]
        assert len(seconds) == (2 if stage == "train" else 4)
        assert abs(billed.seconds - sum(seconds)) <= len(seconds)  # each rounded
        assert billed.seconds >= 2 * len(seconds)


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


def test_clearing_a_deferred_task_ends_with_one_live_job(local_aws: Any, training: Any, name: str) -> None:
    before = cast(JobTrigger, defer(training(name, SLOW)).trigger)
    again = training(name, SLOW)
    adopting = defer(again)  # Airflow runs the new try first
    asyncio.run(before.on_kill())
    event = event_of(adopting.trigger)
    assert event["status"] == "stopped"
    with pytest.raises(TaskDeferred) as followed:
        again.execute_complete(NO_CONTEXT, event, **(adopting.kwargs or {}))
    live = local_aws.client("sagemaker").list_training_jobs(NameContains=name, StatusEquals="InProgress")
    assert [job["TrainingJobName"] for job in live["TrainingJobSummaries"]] == [f"{name}-r2"]
    asyncio.run(cast(JobTrigger, followed.value.trigger).on_kill())


def test_a_job_that_somebody_else_stops_fails_the_try_that_made_it(training: Any, name: str) -> None:
    deferred = defer(training(name, SLOW))
    asyncio.run(cast(JobTrigger, deferred.trigger).on_kill())
    with pytest.raises(JobFailedError, match="it was stopped"):
        training(name, SLOW).execute_complete(NO_CONTEXT, event_of(deferred.trigger), **(deferred.kwargs or {}))


def test_a_job_being_stopped_is_waited_for_and_followed(
    local_aws: Any, training: Any, name: str, tmp_path: Path
) -> None:
    permission = tmp_path / "may-end"
    trigger = cast(JobTrigger, defer(training(name, STUBBORN.format(permission=str(permission)))).trigger)
    logs = local_aws.client("logs")
    said: list[str] = []
    deadline = time.monotonic() + 60
    while "deaf" not in said:
        assert time.monotonic() < deadline
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):  # no job has made the group yet
            events = logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs")["events"]
            said = [event["message"] for event in events if event["logStreamName"].startswith(f"{name}/")]
    asyncio.run(trigger.on_kill())
    again = training(name, QUICK)
    waiting = defer(again)
    assert waiting.method_name == "execute_after_stop"
    permission.touch()
    event = event_of(waiting.trigger)
    assert event["status"] == "stopped"
    with pytest.raises(TaskDeferred) as followed:
        again.execute_after_stop(NO_CONTEXT, event)
    assert cast(JobTrigger, followed.value.trigger).job_name == f"{name}-r2"
    assert event_of(followed.value.trigger)["status"] == "success"


def test_a_job_whose_creation_was_carried_out_unheard_is_the_one(local_aws: Any, training: Any, name: str) -> None:
    operator = training(name, SLOW)
    carried_out: list[int] = []

    def lose_the_answer(request: Any, **_: Any) -> None:
        if not carried_out:
            carried_out.append(URLLib3Session().send(request).status_code)
            raise ConnectionClosedError(endpoint_url=request.url)

    operator.hook.conn.meta.events.register("before-send.sagemaker.CreateTrainingJob", lose_the_answer)
    trigger = cast(JobTrigger, defer(operator).trigger)
    assert (carried_out, trigger.job_name) == ([200], name)
    asyncio.run(trigger.on_kill())


def test_the_waiting_outlasts_an_aws_that_is_away(
    local_aws: Any, training: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = defer(training(name, QUICK)).trigger
    aws = urlsplit(local_aws.url)

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(aws.hostname, aws.port)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while block := await source.read(65536):
            sink.write(block)
            await sink.drain()
        sink.close()

    async def first() -> Any:
        server = await asyncio.start_server(passed_on, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        event = asyncio.ensure_future(anext(aiter(trigger.run())))
        while trigger.attempts - getattr(trigger, "_left", trigger.attempts) < 2:
            await asyncio.sleep(0.1)
        assert not event.done()
        async with await asyncio.start_server(passed_on, "127.0.0.1", port):
            return (await event).payload

    assert asyncio.run(first())["status"] == "success"


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


def test_the_trials_of_a_tuning_job_are_ranked(local_aws: Any, tuning: Any) -> None:
    script = "import os; print('loss=%s' % (1 - float(os.environ['SM_HP_RATE'])))"
    result = tuning(script).execute_complete(NO_CONTEXT, event_of(defer(tuning(script)).trigger))
    first, second = ranked(local_aws.client("sagemaker"), result["Tuning"])
    assert first.name == result["Tuning"]["BestTrainingJob"]["TrainingJobName"]
    assert first.objective is not None and second.objective is not None and first.objective <= second.objective
    assert float(first.hyperparameters["rate"]) >= float(second.hyperparameters["rate"])


def test_a_tuning_job_whose_trials_all_failed_gives_the_reason_of_one(tuning: Any) -> None:
    event = event_of(defer(tuning(BROKEN)).trigger)
    with pytest.raises(JobAtFaultError, match="no photos at all"):
        tuning(BROKEN).execute_complete(NO_CONTEXT, event)


def test_a_tuning_job_without_a_best_trial_fails(tuning: Any) -> None:
    silent = "print('nothing to measure')"
    event = event_of(defer(tuning(silent)).trigger)
    with pytest.raises(JobAtFaultError):
        tuning(silent).execute_complete(NO_CONTEXT, event)
