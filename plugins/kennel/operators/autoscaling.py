"""Application Auto Scaling of an endpoint, which the provider has no operator for."""

from collections.abc import Sequence
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException


class ScalingHook(AwsBaseHook):
    """A boto3 client of Application Auto Scaling."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(client_type="application-autoscaling", **kwargs)


class RegisterScalingOperator(AwsBaseOperator[ScalingHook]):
    """Register a scalable target with one policy, and read both back: AWS is the one to say that it scales.

    Both calls create or update, so the task may run any number of times.

    :param target: RegisterScalableTarget's request (templated).
    :param policy: PutScalingPolicy's request (templated).
    """

    aws_hook_class = ScalingHook
    template_fields: Sequence[str] = aws_template_fields("target", "policy")

    def __init__(self, *, target: dict[str, Any], policy: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.policy = policy

    def execute(self, context: Context) -> dict[str, Any]:
        """Return `{"resource", "min", "max", "target"}` as AWS has them. Raises when AWS does not have them."""
        client = self.hook.conn
        client.register_scalable_target(**self.target)
        client.put_scaling_policy(**self.policy)
        namespace, resource = self.target["ServiceNamespace"], self.target["ResourceId"]
        targets = client.describe_scalable_targets(ServiceNamespace=namespace, ResourceIds=[resource])[
            "ScalableTargets"
        ]
        policies = client.describe_scaling_policies(ServiceNamespace=namespace, ResourceId=resource)["ScalingPolicies"]
        ours = [policy for policy in policies if policy["PolicyName"] == self.policy["PolicyName"]]
        if not targets or not ours:
            raise AirflowException(
                f"{resource} was registered for scaling, but AWS does not list it; run the task again"
            )
        tracking = ours[0]["TargetTrackingScalingPolicyConfiguration"]
        return {
            "resource": resource,
            "min": targets[0]["MinCapacity"],
            "max": targets[0]["MaxCapacity"],
            "target": tracking["TargetValue"],
        }
