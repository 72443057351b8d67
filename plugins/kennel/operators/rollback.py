"""Putting back what served before a deploy that failed."""

from collections.abc import Sequence
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from kennel import hosting, registry
from kennel.functions import Alias
from kennel.operators.autoscaling import ScalingHook
from kennel.operators.hosting import EndpointOperator


def in_service(sagemaker: Any, endpoint: str, alias: Alias) -> dict[str, Any]:
    """What serves now, to be put back: `{"endpoint_config", "alias_version", "provisioned_concurrency"}`.

    What is not there is None or 0.
    """
    found = registry.described(sagemaker.describe_endpoint, EndpointName=endpoint)
    serves = found.get("EndpointStatus") not in (None, "Creating", "Failed", "Deleting", "OutOfService")
    return {
        "endpoint_config": found["EndpointConfigName"] if serves else None,
        "alias_version": alias.version,
        "provisioned_concurrency": alias.provisioned,
    }


class RollBackOperator(EndpointOperator):
    """Put the endpoint's config, the alias and what is kept warm for it back, resume scaling, and fail with the reason.

    Safe to run any number of times, whatever the deploy had come to. A model that is at fault is marked Rejected, so
    that no later deploy takes it again by itself.

    :param config: CreateEndpoint's request with the config that served before, or an empty one (templated).
    :param previous: what `in_service` said before the deploy (templated).
    :param failure: `{"task_id", "reason", "model_at_fault"}` (templated).
    :param package_arn: the model that was to be deployed (templated).
    :param rehearsal: the endpoint of a rehearsal, which may be left over.
    :param function: the function's name.
    :param alias: the alias that callers use.
    :param target: RegisterScalableTarget's request.
    :param policy: PutScalingPolicy's request.
    """

    template_fields: Sequence[str] = (*EndpointOperator.template_fields, "previous", "failure", "package_arn")

    def __init__(
        self,
        *,
        previous: dict[str, Any],
        failure: dict[str, Any],
        package_arn: str,
        rehearsal: str,
        function: str,
        alias: str,
        target: dict[str, Any],
        policy: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.previous = previous
        self.failure = failure
        self.package_arn = package_arn
        self.rehearsal = rehearsal
        self.function = function
        self.alias = alias
        self.target = target
        self.policy = policy

    def execute(self, context: Context) -> Any:
        """The function first, which is quick; then the endpoint."""
        if not self.previous:
            raise AirflowFailException(f"Nothing was changed: {self._why()}")
        if self.failure["model_at_fault"]:
            registry.settle(self.hook.conn, self.package_arn, approved=False, why=self._why())
        alias = Alias(self._client("lambda"), self.function, self.alias)
        if self.previous["alias_version"]:
            alias.point(self.previous["alias_version"])
            alias.provision(self.previous["provisioned_concurrency"])
        else:
            alias.delete()
        if self.previous["endpoint_config"]:
            return super().execute(context)
        return self.done(context, {}, changed=False)

    def done(self, context: Context, found: dict[str, Any], *, changed: bool) -> Any:
        """Resume scaling, see that no rehearsal is left, and fail."""
        if found:
            scaling = ScalingHook(aws_conn_id=self.aws_conn_id, region_name=self.region_name).conn
            scaling.register_scalable_target(**self.target)
            scaling.put_scaling_policy(**self.policy)
        hosting.end(self.hook.conn, self.rehearsal)
        raise AirflowFailException(f"{self._why().rstrip('.')}. {self._outcome(found, changed)}")

    def _why(self) -> str:
        return f"{self.failure['task_id']} failed: {self.failure['reason']}"

    def _outcome(self, found: dict[str, Any], changed: bool) -> str:
        if not found:
            return "Nothing served before, so there is nothing to go back to."
        again = "serves again" if changed else "has served on"
        version = self.previous["alias_version"]
        return f"{found['EndpointConfigName']} {again}, with version {version or 'none'} of the function."

    def _client(self, service: str) -> Any:
        return AwsBaseHook(client_type=service, aws_conn_id=self.aws_conn_id, region_name=self.region_name).conn
