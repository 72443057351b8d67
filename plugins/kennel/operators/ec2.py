"""The final training on a plain EC2 instance, as safe from Airflow's accidents as SageMaker's jobs are.

The model's key in the bucket, the instance's tags and its launch token all come from what is trained. So before it
launches anything the operator looks: a stored model is used; a live instance is adopted, with the command that was
sent to it; else the next attempt is launched. However the training ends, so does its instance.
"""

import contextlib
import datetime
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NoReturn

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException
from botocore.exceptions import ClientError

from kennel import instances
from kennel.defaults import JobAtFaultError, JobFailedError
from kennel.names import Names
from kennel.specs.ec2 import BOOT_MINUTES, Training
from kennel.triggers.ec2 import InstanceTrigger

# RunInstances' answers when there is no Spot instance to be had, and when an attempt has had its instance.
NO_SPOT = frozenset(
    {"InsufficientInstanceCapacity", "MaxSpotInstanceCountExceeded", "SpotMaxPriceTooLow", "UnfulfillableCapacity"}
)
USED_UP = frozenset({"IdempotentInstanceTerminated", "IdempotentParameterMismatch"})
AT_FAULT = 65  # ml/instance.py's exit code when the script is
AGENT = "failed to run commands: "  # how Systems Manager's own words in the output begin

Event = dict[str, Any]


class TrainOnEc2Operator(BaseOperator):
    """Train on an instance of its own. XCom is `{"Training": ...}`, what later stages read of a training job.

    :param training: what to train (templated).
    :param market: `spot` or `on-demand` (templated). Without a Spot instance to be had, or when it is interrupted,
        the training goes on, from its beginning, on demand.
    :param check_interval: seconds between two looks.
    """

    template_fields: Sequence[str] = ("training", "market")

    def __init__(
        self,
        *,
        training: Training,
        market: str,
        check_interval: int,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.training = training
        self.market = market
        self.check_interval = check_interval
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self._asked: dict[str, Any] = {}  # the launch under way

    def execute(self, context: Context) -> dict[str, Any]:
        """Use the model, adopt the instance, or launch one and wait for it in the triggerer."""
        if stored := self._stored():
            self.log.info("Using the model of %s, which is stored", self.training.name)
            self._end()
            return stored
        alive = instances.of_job(self._ec2, self.training.name)
        if not alive:
            return self._launch(self.market)
        instance_id = alive[0]["InstanceId"]
        sent = self._ssm.list_command_invocations(InstanceId=instance_id)["CommandInvocations"]
        self.log.info("Adopting instance %s, which %s", instance_id, "is training" if sent else "has not begun")
        if sent:
            return self._wait_for_end(instance_id, sent[0]["CommandId"], adopted=True)
        return self._wait_for_boot(instance_id, adopted=True)

    def begin(self, context: Context, event: Event, adopted: bool) -> dict[str, Any]:
        """Send the command, once Systems Manager reaches the instance."""
        if event["status"] != "online":
            return self._cut_short(context, event, adopted)
        instance = instances.described(self._ec2, event["instance_id"])
        command_id = self._ssm.send_command(**self.training.command(instance))["Command"]["CommandId"]
        self.log.info("Command %s trains on instance %s", command_id, event["instance_id"])
        return self._wait_for_end(event["instance_id"], command_id, adopted)

    def finish(self, context: Context, event: Event, adopted: bool) -> dict[str, Any]:
        """End the instance; return what was made, or fail with the script's own reason."""
        if event["status"] != "ended":
            return self._cut_short(context, event, adopted)
        invocation = self._ssm.get_command_invocation(CommandId=event["command_id"], InstanceId=event["instance_id"])
        self._end()
        if invocation["Status"] != "Success":
            raise self._failure(invocation)
        if stored := self._stored():
            return stored
        raise JobFailedError(f"{self.training.name} ended well, but there is no {self.training.model}")

    def on_kill(self) -> None:
        """Terminate whatever trains this, an instance included that was asked for and not heard of yet."""
        if self._asked:
            with contextlib.suppress(ClientError):  # the same token: this launches no second one
                instances.terminate(self._ec2, self._ec2.run_instances(**self._asked)["Instances"])
        self._end()

    def _launch(self, market: str) -> NoReturn:
        """Launch the next attempt, and wait for it."""
        self._wait_for_boot(self._launched(market), adopted=False)

    def _launched(self, market: str) -> str:
        """The id of a new instance, or of the one that an earlier try asked for unheard."""
        at, settings = Names.of(self.training.classifier), self.training.classifier.ec2
        try:
            image = instances.image(self._ec2, self._ssm, settings.image_parameter)
            group_id = instances.security_group(self._ec2, at.ec2)
        except instances.NotFoundError as error:
            raise AirflowFailException(str(error)) from error
        attempt = 1
        while True:
            self._asked = self.training.launch(image.image_id, image.device, group_id, market, attempt)
            try:
                [instance] = self._ec2.run_instances(**self._asked)["Instances"]
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if market == "spot" and code in NO_SPOT:
                    self.log.warning("No Spot instance (%s): launching on demand", error)
                    market, attempt = "on-demand", 0
                elif code not in USED_UP:
                    raise
            else:
                if instance["State"]["Name"] in instances.ALIVE:
                    self.log.info("Launched %s instance %s, attempt %s", market, instance["InstanceId"], attempt)
                    return str(instance["InstanceId"])
            attempt += 1

    def _cut_short(self, context: Context, event: Event, adopted: bool) -> dict[str, Any]:
        """What follows when the instance did not live to do its work, or was not let."""
        instance_id = event["instance_id"]
        instance = instances.described(self._ec2, instance_id)
        reason = instance.get("StateReason", {}).get("Code", "of a reason that AWS does not tell any more")
        self._end()
        if event["status"] == "refused":
            raise AirflowFailException(f"{event['message']}; instance {instance_id} was terminated")
        if event["status"] == "timeout":
            raise JobFailedError(self._late(event))
        if reason.startswith("Server.Spot"):
            self.log.warning("Instance %s was interrupted (%s): launching on demand", instance_id, reason)
            return self._launch("on-demand")
        # When a deferred task is cleared, Airflow runs the new try before it tells the old one's trigger to terminate.
        if adopted:
            self.log.info("Instance %s was terminated by an earlier try's end (%s)", instance_id, reason)
            return self.execute(context)
        raise JobFailedError(f"instance {instance_id} of {self.training.name} was terminated: {reason}")

    def _late(self, event: Event) -> str:
        if event["command_id"]:
            return f"command {event['command_id']} on instance {event['instance_id']} did not end in its time"
        return (
            f"instance {event['instance_id']} was not reached by Systems Manager within {BOOT_MINUTES} minutes: "
            "see that its subnet has a way to the internet or endpoints for ssm, ssmmessages, ec2messages, s3 and logs"
        )

    def _failure(self, invocation: dict[str, Any]) -> JobFailedError:
        """The script's own reason, else Systems Manager's."""
        name, limit = self.training.name, self.training.classifier.ec2.max_runtime_minutes
        if invocation["StatusDetails"] == "ExecutionTimedOut":
            return JobAtFaultError(f"{name} took longer than {limit} minutes: raise ec2.max_runtime_minutes")
        said = [line for line in invocation["StandardErrorContent"].splitlines() if not line.startswith(AGENT)]
        reason = said[-1] if said else invocation["StatusDetails"]
        kind = JobAtFaultError if invocation["ResponseCode"] == AT_FAULT else JobFailedError
        return kind(f"{reason} ({name} on instance {invocation['InstanceId']})")

    def _stored(self) -> dict[str, Any] | None:
        """What was made, or None. Billed are the seconds from the launch to the storing."""
        bucket, key = Names.of(self.training.classifier).bucket, self.training.model
        try:
            found = self._client("s3").head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            return None
        facts = found["Metadata"]
        launched = datetime.datetime.fromisoformat(facts["launched"])
        return {
            "Training": {
                "TrainingJobName": self.training.name,
                "ModelArtifacts": {"S3ModelArtifacts": f"s3://{bucket}/{key}"},
                "ResourceConfig": {"InstanceType": facts["instance-type"], "InstanceCount": 1},
                "BillableTimeInSeconds": round((found["LastModified"] - launched).total_seconds()),
                "Market": facts["market"],
            }
        }

    def _end(self) -> None:
        instances.terminate(self._ec2, instances.of_job(self._ec2, self.training.name))

    def _wait_for_boot(self, instance_id: str, adopted: bool) -> NoReturn:
        self._wait("begin", instance_id, "", BOOT_MINUTES, adopted)

    def _wait_for_end(self, instance_id: str, command_id: str, adopted: bool) -> NoReturn:
        # Longer than the command's own limit, so it is the command that ends first.
        minutes = self.training.classifier.ec2.max_runtime_minutes + BOOT_MINUTES
        self._wait("finish", instance_id, command_id, minutes, adopted)

    def _wait(self, method: str, instance_id: str, command_id: str, minutes: int, adopted: bool) -> NoReturn:
        self.defer(
            trigger=InstanceTrigger(
                instance_id=instance_id,
                command_id=command_id,
                log_group=Names.of(self.training.classifier).ec2_log_group,
                delay=self.check_interval,
                attempts=minutes * 60 // self.check_interval,
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
            ),
            method_name=method,
            kwargs={"adopted": adopted},
        )

    @cached_property
    def _ec2(self) -> Any:
        return self._client("ec2")

    @cached_property
    def _ssm(self) -> Any:
        return self._client("ssm")

    def _client(self, service: str) -> Any:
        return AwsBaseHook(client_type=service, aws_conn_id=self.aws_conn_id, region_name=self.region_name).conn
