"""What an endpoint's tasks share: its scaling held still, its end, and whose fault a failure is."""

import contextlib
import re
from typing import Any

from airflow.sdk.exceptions import AirflowException
from botocore.exceptions import ClientError

from kennel import names, registry
from kennel.defaults import ModelAtFaultError
from kennel.triggers.jobs import PASSING

# SageMaker's words when a model does not come into service, or an alarm has called it back. For no other reason
# (capacity, a quota, a service's own error) is a model to blame.
MODELS_FAULT = re.compile(r"health check|CannotStartContainer|model data|model artifact|\bALARM\b")
STATES = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")


def failure(reason: str, message: str) -> AirflowException:
    """What to raise with the message when SageMaker gave this reason: a ModelAtFaultError when it blames the model."""
    return (ModelAtFaultError if MODELS_FAULT.search(reason) else AirflowException)(message)


def suspend_scaling(client: Any, endpoint: str) -> None:
    """Let nothing scale the endpoint; one that does not scale is left alone."""
    target = _target(endpoint)
    found = client.describe_scalable_targets(
        ServiceNamespace=target["ServiceNamespace"], ResourceIds=[target["ResourceId"]]
    )
    if found["ScalableTargets"]:
        client.register_scalable_target(**target, SuspendedState=dict.fromkeys(STATES, True))


def deregister_scaling(client: Any, endpoint: str) -> None:
    """Take the endpoint out of scaling: SageMaker refuses another instance type to a variant that scales."""
    with contextlib.suppress(client.exceptions.ObjectNotFoundException):
        client.deregister_scalable_target(**_target(endpoint))


def end(client: Any, endpoint: str) -> None:
    """Delete an endpoint that there may be. Raises what a retry mends when it is still changing."""

    def status() -> Any:
        return registry.described(client.describe_endpoint, EndpointName=endpoint).get("EndpointStatus")

    if status() in (None, "Deleting"):
        return
    try:
        client.delete_endpoint(EndpointName=endpoint)
    except ClientError as error:
        if (now := status()) in PASSING - {"Deleting"}:
            raise AirflowException(f"{endpoint} is {now}, in which state SageMaker does not delete it") from error
        if now not in (None, "Deleting"):
            raise


def _target(endpoint: str) -> dict[str, str]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/{names.VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
