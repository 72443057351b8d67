"""Waiting for a SageMaker job or endpoint in the triggerer, and stopping the job when the waiting is called off."""

import asyncio
from dataclasses import dataclass
from typing import Any

from airflow.providers.amazon.aws.triggers.sagemaker import SageMakerTrigger
from airflow.triggers.base import TriggerEvent
from botocore.exceptions import BotoCoreError, ClientError

from kennel.defaults import is_final
from kennel.triggers.calling_off import StoppingTrigger, WaitingTrigger


@dataclass(frozen=True)
class Kind:
    """A kind of thing to wait for: what boto3's methods call it, and the request member that names one."""

    noun: str
    name_member: str

    @property
    def status_member(self) -> str:
        """The member of a description that says how far it is."""
        return self.name_member.removesuffix("Name") + "Status"


# By the provider's word for them, which is also the key of the operators' XCom.
KINDS = {
    "Training": Kind("training_job", "TrainingJobName"),
    "Processing": Kind("processing_job", "ProcessingJobName"),
    "Tuning": Kind("hyper_parameter_tuning_job", "HyperParameterTuningJobName"),
    "endpoint": Kind("endpoint", "EndpointName"),
}

# What is in one of these is on its way to another.
PASSING = frozenset({"InProgress", "Stopping", "Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})


class StatusTrigger(WaitingTrigger, SageMakerTrigger):
    """Asks for the status until it is a lasting one, and fires with it: `{"status", "job_name", "message"}`.

    The status is `success` for Completed and InService, AWS's word in lower case for any other, and `timeout` when it
    has asked `waiter_max_attempts` times. The provider's trigger fails the task at the first answer that is lost;
    here an AWS that throttles, fails or is away for a while is asked again.

    The first look comes after one interval. Airflow 3.3 takes a task that resumes before the scheduler has heard of its
    deferral for one that was killed, and fails that try ("executor reported success, but the task instance's state
    attribute is queued").
    """

    async def _waited(self) -> TriggerEvent:
        """The event, however often AWS has to be asked again."""
        self._left = self.attempts
        while self._left > 0:
            try:
                async with await self.hook().get_async_conn() as client:
                    if event := await self._watched(client):
                        return event
            except (BotoCoreError, ClientError, OSError) as error:
                if is_final(error):
                    raise
                self.log.warning("%s %s: asking again, after %s", self.job_type, self.job_name, error)
                # it may be the client that cannot be had, before any look
                self._left -= 1
                await asyncio.sleep(self.waiter_delay)
        return self._event("timeout", f"it was not done after {self.attempts} looks, {self.waiter_delay} s apart")

    async def _watched(self, client: Any) -> TriggerEvent | None:
        """The event, or None when the looks are used up. Raises what the client does."""
        kind = KINDS[self.job_type]
        while self._left > 0:
            self._left -= 1
            await asyncio.sleep(self.waiter_delay)
            found = await getattr(client, f"describe_{kind.noun}")(**{kind.name_member: self.job_name})
            status = found[kind.status_member]
            if status not in PASSING:
                done = status in ("Completed", "InService")
                return self._event("success" if done else status.lower(), found.get("FailureReason", ""))
        return None

    def _event(self, status: str, message: str) -> TriggerEvent:
        return TriggerEvent({"status": status, "job_name": self.job_name, "message": message})


class JobTrigger(StoppingTrigger, StatusTrigger):
    """Stops the job when its task is cleared or marked failed; the provider's leaves it running and billing."""

    async def _stop(self) -> None:
        kind = KINDS[self.job_type]
        async with await self.hook().get_async_conn() as client:
            try:
                await getattr(client, f"stop_{kind.noun}")(**{kind.name_member: self.job_name})
            except ClientError as error:
                self.log.info("%s %s was not stopped: %s", self.job_type, self.job_name, error)
