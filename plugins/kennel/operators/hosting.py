"""Models, endpoint configs, the endpoint and the model registry: the provider's operators, safe to run twice."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.operators.sagemaker import (
    SageMakerEndpointOperator,
    SageMakerRegisterModelVersionOperator,
    serialize,
)
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException
from botocore.exceptions import ClientError

from kennel import hosting, registry
from kennel.operators.autoscaling import ScalingHook
from kennel.triggers.jobs import PASSING, StatusTrigger


class ServingRecordsOperator(AwsBaseOperator[SageMakerHook]):
    """Make SageMaker's records of a model that is to be served, or find them: the model and its endpoint configs.

    :param model: CreateModel's request (templated).
    :param configs: CreateEndpointConfig's requests, each named by its content (templated).
    """

    aws_hook_class = SageMakerHook
    template_fields: Sequence[str] = aws_template_fields("model", "configs")

    def __init__(self, *, model: dict[str, Any], configs: list[dict[str, Any]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.configs = configs

    def execute(self, context: Context) -> dict[str, Any]:
        """Return `{"model", "configs"}`, the names. Raises when the model's name is another artifact's."""
        client = self.hook.conn
        found = self._ensure(client.describe_model, client.create_model, "ModelName", self.model)
        asked, there = self.model["PrimaryContainer"], found["PrimaryContainer"]
        # Its environment may be that of an earlier Kennel: what serves with it goes on doing so.
        for key in ("ModelDataUrl", "Image"):
            if there.get(key) != asked[key]:
                raise AirflowException(
                    f"the model {self.model['ModelName']} is there already, of {there.get(key)} and not of "
                    f"{asked[key]}: delete it (aws sagemaker delete-model) and clear this task"
                )
        for config in self.configs:
            self._ensure(client.describe_endpoint_config, client.create_endpoint_config, "EndpointConfigName", config)
        return {
            "model": self.model["ModelName"],
            "configs": sorted({config["EndpointConfigName"] for config in self.configs}),
        }

    def _ensure(
        self, describe: Callable[..., Any], create: Callable[..., Any], member: str, request: dict[str, Any]
    ) -> dict[str, Any]:
        """The record's description. A refused creation is none when an answer was lost and the record is there."""
        name = {member: request[member]}
        if found := registry.described(describe, **name):
            self.log.info("%s is there already", request[member])
            return found
        try:
            create(**request)
        except ClientError:
            if not registry.described(describe, **name):
                raise
        return dict(describe(**name))


class EndpointOperator(SageMakerEndpointOperator):
    """Create the endpoint or bring it to a new config, and be done when it is in service *with that config*.

    SageMaker puts an endpoint whose update failed back InService with its old config; the provider calls that a
    success. An update keeps the instance count that autoscaling has set, and suspends the scaling, which whoever comes
    after resumes. A failed endpoint, which cannot be updated, is deleted and made again. What is under way is waited
    for first, so that a try may end at any point, and an answer be lost, and the next one still comes to the end.

    :param alarms: PutMetricAlarm's requests for the alarms that call an update back.
    :param blue_green: an update's BlueGreenUpdatePolicy; without one the traffic goes over at once and for good.
    """

    def __init__(
        self,
        *,
        alarms: Sequence[dict[str, Any]] = (),
        blue_green: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alarms = alarms
        self.blue_green = blue_green

    def execute(self, context: Context) -> Any:
        """Create, update or leave the endpoint, then wait for it in the triggerer."""
        found = self._describe()
        status = found.get("EndpointStatus")
        if status == "Failed":
            self.log.info("%s has failed (%s): making it again", found["EndpointName"], found.get("FailureReason"))
            self.hook.conn.delete_endpoint(EndpointName=found["EndpointName"])
            patience = {"Delay": self.check_interval, "MaxAttempts": 600 // self.check_interval}
            self.hook.conn.get_waiter("endpoint_deleted").wait(
                EndpointName=found["EndpointName"], WaiterConfig=patience
            )
            found = {}
        if not found:
            self._put_alarms()
            self._request(self.hook.conn.create_endpoint, self.config)
        elif status in PASSING:
            self.log.info("%s is %s: waiting for that first", found["EndpointName"], status)
            self._wait("execute_when_settled")
        elif status == "OutOfService":
            raise AirflowException(
                f"endpoint {found['EndpointName']} is OutOfService, which no update mends "
                f"({found.get('FailureReason', 'no reason given')}): delete it and run the task again"
            )
        elif status == "InService" and found["EndpointConfigName"] == self.config["EndpointConfigName"]:
            self._put_alarms()
            self.log.info("%s is in service with %s: nothing to do", found["EndpointName"], found["EndpointConfigName"])
            return self.done(context, found, changed=False)
        else:
            self._update(found["EndpointConfigName"])
        return self._wait("execute_complete")

    def execute_when_settled(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Go on once an earlier create or update has come to its end, however it did."""
        if event and event["status"] == "timeout":
            raise AirflowException(f"endpoint {self.config['EndpointName']} is still changing: {event['message']}")
        return self.execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Be done, or raise when the endpoint is not in service with the wanted config.

        Raises ModelAtFaultError when that is because the model does not load, or an alarm called it back.
        """
        found = self.hook.describe_endpoint(self.config["EndpointName"])
        wanted, actual = self.config["EndpointConfigName"], found["EndpointConfigName"]
        if found["EndpointStatus"] != "InService" or actual != wanted:
            reason = found.get("FailureReason", "no reason given")
            instead = "" if actual == wanted else f" with {actual}"
            raise hosting.failure(
                reason,
                f"endpoint {found['EndpointName']} is {found['EndpointStatus']}{instead}, "
                f"not in service with {wanted}: {reason}",
            )
        return self.done(context, found, changed=True)

    def done(self, context: Context, found: dict[str, Any], *, changed: bool) -> Any:
        """Return `{"Endpoint": description, "changed": whether this try changed it}`; a subclass has more to do."""
        return {"Endpoint": serialize(found), "changed": changed}

    def _describe(self) -> dict[str, Any]:
        return registry.described(self.hook.conn.describe_endpoint, EndpointName=self.config["EndpointName"])

    def _update(self, current: str) -> None:
        """Ask for the update; what scales it is told to keep still, or to let go for another instance type."""
        scaling = ScalingHook(aws_conn_id=self.aws_conn_id, region_name=self.region_name).conn
        if self._instance_types(current) == self._instance_types(self.config["EndpointConfigName"]):
            hosting.suspend_scaling(scaling, self.config["EndpointName"])
        else:
            hosting.deregister_scaling(scaling, self.config["EndpointName"])
        request: dict[str, Any] = {
            "EndpointName": self.config["EndpointName"],
            "EndpointConfigName": self.config["EndpointConfigName"],
            "RetainAllVariantProperties": True,
        }
        watching = self._put_alarms()
        if self.blue_green:
            request["DeploymentConfig"] = {"BlueGreenUpdatePolicy": self.blue_green}
            if watching:
                alarms = [{"AlarmName": name} for name in watching]
                request["DeploymentConfig"]["AutoRollbackConfiguration"] = {"Alarms": alarms}
        self._request(self.hook.conn.update_endpoint, request)

    def _put_alarms(self) -> list[str]:
        """Have the alarms as asked; the names of those that can tell a bad update.

        One that is in ALARM already speaks of what serves now, and would call back its remedy.
        """
        if not self.alarms:
            return []
        client = AwsBaseHook(client_type="cloudwatch", aws_conn_id=self.aws_conn_id, region_name=self.region_name).conn
        asked = [alarm["AlarmName"] for alarm in self.alarms]
        there = {alarm["AlarmName"]: alarm for alarm in client.describe_alarms(AlarmNames=asked)["MetricAlarms"]}
        for alarm in self.alarms:
            if any(there.get(alarm["AlarmName"], {}).get(key) != value for key, value in alarm.items()):
                client.put_metric_alarm(**alarm)
        firing = [name for name in asked if there.get(name, {}).get("StateValue") == "ALARM"]
        if firing:
            self.log.warning("In ALARM already, so not watched during an update: %s", ", ".join(firing))
        return [name for name in asked if name not in firing]

    def _request(self, call: Callable[..., Any], request: dict[str, Any]) -> None:
        """Ask for a change. When it is refused because the endpoint is changing, that is waited for first.

        It may be the very change, by a request whose answer was lost, or the scaler's last one.
        """
        try:
            call(**request)
        except ClientError:
            if self._describe().get("EndpointStatus") not in PASSING:
                raise
            self.log.info("%s is changing already: waiting for that first", request["EndpointName"])
            self._wait("execute_when_settled")

    def _instance_types(self, config: str) -> list[str]:
        """Of a config that may have been deleted since: its endpoint does without it."""
        found = registry.described(self.hook.conn.describe_endpoint_config, EndpointConfigName=config)
        return [variant["InstanceType"] for variant in found.get("ProductionVariants", [])]

    def _wait(self, method: str) -> NoReturn:
        self.defer(
            trigger=StatusTrigger(
                job_name=self.config["EndpointName"],
                job_type="endpoint",
                waiter_delay=self.check_interval,
                waiter_max_attempts=self.max_ingestion_time // self.check_interval,
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                botocore_config=self.botocore_config,
            ),
            method_name=method,
        )


class RegisterModelOperator(SageMakerRegisterModelVersionOperator):
    """Register the run's model once, however often the task runs; another model of the run is another version.

    XCom is the model package's ARN.

    :param extras: what CreateModelPackage gets besides; its CustomerMetadataProperties name the `run` (templated).
    """

    template_fields = (*SageMakerRegisterModelVersionOperator.template_fields, "extras")
    extras: dict[str, Any]

    def execute(self, context: Context) -> str:
        """Return the ARN of the run's package, found or made."""
        run = self.extras["CustomerMetadataProperties"]["run"]
        for package in registry.packages(self.hook.conn, self.package_group_name):
            if package.run == run and package.model_data == self.model_url:
                return package.arn
        return str(super().execute(context))
