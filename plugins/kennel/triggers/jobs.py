"""Waiting for a SageMaker job in the triggerer, and stopping it when the waiting is called off."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from airflow.providers.amazon.aws.triggers.sagemaker import SageMakerTrigger
from airflow.triggers.base import TriggerEvent
from botocore.exceptions import ClientError


@dataclass(frozen=True)
class Kind:
    """A kind of job: what boto3's methods call it, and the request member that names one."""

    noun: str
    name_member: str

    @property
    def status_member(self) -> str:
        """The member of a description that says how far the job is."""
        return self.name_member.removesuffix("Name") + "Status"


# By the provider's word for them, which is also the key of the operators' XCom.
KINDS = {
    "Training": Kind("training_job", "TrainingJobName"),
    "Processing": Kind("processing_job", "ProcessingJobName"),
    "Tuning": Kind("hyper_parameter_tuning_job", "HyperParameterTuningJobName"),
}


class PatientTrigger(SageMakerTrigger):
    """The provider's trigger, but its first look comes after one interval, not at once.

    Airflow 3.3 takes a task that resumes before the scheduler has heard of its deferral for one that was killed, and
    fails that try ("executor reported success, but the task instance's state attribute is queued").
    """

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait an interval, then as the provider does."""
        await asyncio.sleep(self.waiter_delay)
        async for event in super().run():
            yield event


class JobTrigger(PatientTrigger):
    """Stops the job when its task is cleared or marked failed; the provider's leaves it running and billing.

    Airflow calls `on_kill` then, and not when the triggerer restarts.
    """

    async def on_kill(self) -> None:
        """Stop the job; one that has ended by itself is left as it is."""
        kind = KINDS[self.job_type]
        async with await self.hook().get_async_conn() as client:
            try:
                await getattr(client, f"stop_{kind.noun}")(**{kind.name_member: self.job_name})
            except ClientError as error:
                self.log.info("%s %s was not stopped: %s", self.job_type, self.job_name, error)
