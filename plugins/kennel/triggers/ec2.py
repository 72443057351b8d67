"""Waiting for an instance and the command on it in the triggerer, and ending the instance when that is called off."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.triggers.base import BaseTrigger, TriggerEvent
from botocore.exceptions import BotoCoreError, ClientError

from kennel.defaults import is_final
from kennel.instances import ALIVE
from kennel.triggers.calling_off import StoppingTrigger

UNFINISHED = frozenset({"Pending", "InProgress", "Delayed", "Cancelling"})


class InstanceTrigger(StoppingTrigger):
    """Waits until Systems Manager reaches an instance, or, given a command on it, for the command's end.

    Fires with `{"status", "message", "instance_id", "command_id"}`; the status is `online`, `ended`, `gone` when the
    instance stopped first, `refused` when AWS will not answer, or `timeout` after `attempts` looks. What the command
    prints appears in the task's log as it comes; from its beginning again after a triggerer's restart. An AWS that
    throttles, fails or is away is asked again.

    The first look comes after one interval, for the reason that `kennel.triggers.jobs.StatusTrigger` gives.
    """

    def __init__(
        self,
        *,
        instance_id: str,
        log_group: str,
        delay: int,
        attempts: int,
        command_id: str = "",
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
    ) -> None:
        BaseTrigger.__init__(self)
        self.instance_id = instance_id
        self.log_group = log_group
        self.delay = delay
        self.attempts = attempts
        self.command_id = command_id
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self._read_to: dict[str, str] = {}  # the token that the log goes on from

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Name the class and its arguments."""
        names = ("instance_id", "log_group", "delay", "attempts", "command_id", "aws_conn_id", "region_name")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def _waited(self) -> TriggerEvent:
        """The event, however often AWS has to be asked again."""
        left = self.attempts
        while left > 0:
            try:
                async with AsyncExitStack() as stack:
                    ec2, ssm, logs = [await self._client(stack, service) for service in ("ec2", "ssm", "logs")]
                    while left > 0:
                        left -= 1
                        await asyncio.sleep(self.delay)
                        status = await (self._at_work(ec2, ssm, logs) if self.command_id else self._booting(ec2, ssm))
                        if status:
                            return self._event(status)
            except (BotoCoreError, ClientError, OSError) as error:
                if is_final(error):
                    return self._event("refused", str(error))
                self.log.warning("Instance %s: asking again, after %s", self.instance_id, error)
                # it may be the clients that cannot be had, before any look
                left -= 1
                await asyncio.sleep(self.delay)
        return self._event("timeout")

    async def _stop(self) -> None:
        async with AsyncExitStack() as stack:
            ec2 = await self._client(stack, "ec2")
            try:
                await ec2.terminate_instances(InstanceIds=[self.instance_id])
            except ClientError as error:
                self.log.info("Instance %s was not terminated: %s", self.instance_id, error)

    async def _booting(self, ec2: Any, ssm: Any) -> str | None:
        """The event's status, or None to look again."""
        if not await self._is_alive(ec2):
            return "gone"
        filters = [{"Key": "InstanceIds", "Values": [self.instance_id]}]
        known = await ssm.describe_instance_information(Filters=filters)
        online = [one for one in known["InstanceInformationList"] if one["PingStatus"] == "Online"]
        return "online" if online else None

    async def _at_work(self, ec2: Any, ssm: Any, logs: Any) -> str | None:
        """The event's status, or None to look again."""
        await self._tell(logs)
        found = await ssm.get_command_invocation(CommandId=self.command_id, InstanceId=self.instance_id)
        # Asked after the command: when the instance lives, the command has not ended with it.
        if found["Status"] != "Success" and not await self._is_alive(ec2):
            return "gone"
        if found["Status"] in UNFINISHED:
            return None
        await asyncio.sleep(self.delay)  # the log's end comes a little later
        await self._tell(logs)
        return "ended"

    async def _is_alive(self, ec2: Any) -> bool:
        try:
            found = await ec2.describe_instances(InstanceIds=[self.instance_id])
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
                raise
            return False
        return bool(found["Reservations"][0]["Instances"][0]["State"]["Name"] in ALIVE)

    async def _tell(self, logs: Any) -> None:
        """Log what the command has printed since the last time."""
        for stream in ("stdout", "stderr"):
            name = f"{self.command_id}/{self.instance_id}/aws-runShellScript/{stream}"
            while True:
                token = self._read_to.get(stream)
                request = {"logGroupName": self.log_group, "logStreamName": name, "startFromHead": True}
                try:
                    page = await logs.get_log_events(**request, **({"nextToken": token} if token else {}))
                except logs.exceptions.ResourceNotFoundException:  # nothing printed so far
                    break
                for event in page["events"]:
                    self.log.info("%s", event["message"].rstrip())
                self._read_to[stream] = page["nextForwardToken"]
                if page["nextForwardToken"] == token:
                    break

    async def _client(self, stack: AsyncExitStack, service: str) -> Any:
        hook = AwsBaseHook(client_type=service, aws_conn_id=self.aws_conn_id, region_name=self.region_name)
        return await stack.enter_async_context(await hook.get_async_conn())

    def _event(self, status: str, message: str = "") -> TriggerEvent:
        return TriggerEvent(
            {"status": status, "message": message, "instance_id": self.instance_id, "command_id": self.command_id}
        )
