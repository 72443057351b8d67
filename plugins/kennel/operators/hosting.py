"""Models, endpoint configs, the endpoint and the model registry: the provider's operators, safe to run twice."""

import contextlib
from typing import Any, NoReturn

from airflow.providers.amazon.aws.operators.sagemaker import (
    SageMakerEndpointConfigOperator,
    SageMakerEndpointOperator,
    SageMakerModelOperator,
    SageMakerRegisterModelVersionOperator,
    serialize,
)
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException

from kennel import names, registry
from kennel.operators.autoscaling import ScalingHook
from kennel.triggers.jobs import StatusTrigger

# An endpoint in one of these is on its way to another.
PASSING = ("Creating", "Updating", "SystemUpdating", "RollingBack")


class ModelOperator(SageMakerModelOperator):
    """Create the model, or find the one that an earlier try of this task created."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return `{"Model": description}`."""
        found = registry.described(self.hook.conn.describe_model, ModelName=self.config["ModelName"])
        return {"Model": serialize(found)} if found else super().execute(context)


class EndpointConfigOperator(SageMakerEndpointConfigOperator):
    """Create the endpoint config, or find it: its name carries a digest of its content."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return `{"EndpointConfig": description}`."""
        found = registry.described(
            self.hook.conn.describe_endpoint_config, EndpointConfigName=self.config["EndpointConfigName"]
        )
        return {"EndpointConfig": serialize(found)} if found else super().execute(context)


class EndpointOperator(SageMakerEndpointOperator):
    """Create the endpoint or bring it to a new config, and be done when it is in service *with that config*.

    SageMaker puts an endpoint whose update failed back InService with its old config; the provider calls that a
    success. An update keeps the instance count that autoscaling has set. A failed endpoint, which cannot be updated,
    is deleted and made again.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Create, update or leave the endpoint, then wait for it in the triggerer."""
        found = registry.described(self.hook.conn.describe_endpoint, EndpointName=self.config["EndpointName"])
        if found.get("EndpointStatus") == "Failed":
            self.log.info(
                "Endpoint %s has failed (%s): making it again", found["EndpointName"], found.get("FailureReason")
            )
            self.hook.conn.delete_endpoint(EndpointName=found["EndpointName"])
            self.hook.conn.get_waiter("endpoint_deleted").wait(EndpointName=found["EndpointName"])
            found = {}
        if not found:
            self.hook.create_endpoint(self.config, wait_for_completion=False)
        elif found["EndpointStatus"] in PASSING:
            self.log.info("Endpoint %s is %s: waiting for that first", found["EndpointName"], found["EndpointStatus"])
            self._wait("update_when_settled")
        elif found["EndpointStatus"] != "InService":
            raise AirflowException(
                f"endpoint {found['EndpointName']} is {found['EndpointStatus']}, which no update mends "
                f"({found.get('FailureReason', 'no reason given')}): delete it and run the task again"
            )
        elif found["EndpointConfigName"] == self.config["EndpointConfigName"]:
            return self._result(found)
        else:
            self._update(found["EndpointConfigName"])
        return self._wait("execute_complete")

    def update_when_settled(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Go on once an earlier create or update has come to its end, however it did."""
        if event and event["status"] == "timeout":
            raise AirflowException(f"endpoint {self.config['EndpointName']} is still changing: {event['message']}")
        return self.execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return `{"Endpoint": ..., "EndpointConfig": ...}`; raises when the endpoint is not on the wanted config."""
        found = self.hook.describe_endpoint(self.config["EndpointName"])
        wanted, actual = self.config["EndpointConfigName"], found["EndpointConfigName"]
        if found["EndpointStatus"] != "InService" or actual != wanted:
            raise AirflowException(
                f"endpoint {found['EndpointName']} is {found['EndpointStatus']} with {actual}, "
                f"not in service with {wanted}: "
                f"{found.get('FailureReason', 'no reason given')}"
            )
        return self._result(found)

    def _update(self, current: str) -> None:
        if self._instance_types(current) != self._instance_types(self.config["EndpointConfigName"]):
            self._unscale()
        self.hook.update_endpoint(
            {
                "EndpointName": self.config["EndpointName"],
                "EndpointConfigName": self.config["EndpointConfigName"],
                "RetainAllVariantProperties": True,
            },
            wait_for_completion=False,
        )

    def _instance_types(self, config: str) -> list[str]:
        variants = self.hook.describe_endpoint_config(config)["ProductionVariants"]
        return [variant["InstanceType"] for variant in variants]

    def _unscale(self) -> None:
        """Take the variant out of autoscaling: SageMaker refuses another instance type to one that scales."""
        scaling = ScalingHook(aws_conn_id=self.aws_conn_id, region_name=self.region_name).conn
        target = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": f"endpoint/{self.config['EndpointName']}/variant/{names.VARIANT}",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        }
        with contextlib.suppress(scaling.exceptions.ObjectNotFoundException):
            scaling.deregister_scalable_target(**target)

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

    def _result(self, found: dict[str, Any]) -> dict[str, Any]:
        config = self.hook.describe_endpoint_config(found["EndpointConfigName"])
        return {"EndpointConfig": serialize(config), "Endpoint": serialize(found)}


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
