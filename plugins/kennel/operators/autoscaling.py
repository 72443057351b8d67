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

    Both calls create or update, so the task may run any number of times; it resumes what an update had suspended.

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
        """Return `{"resource", "min", "max", "target", "changed"}` as AWS has them.

        Raises when AWS does not have them.
        """
        changed = not self._is_as_asked()
        if changed:
            self.hook.conn.register_scalable_target(**self.target)
            self.hook.conn.put_scaling_policy(**self.policy)
        else:
            self.log.info("%s scales as asked: nothing to do", self.target["ResourceId"])
        target, policy = self._read_back()
        if not target or not policy:
            raise AirflowException(
                f"{self.target['ResourceId']} was registered for scaling, but AWS does not list it; run the task again"
            )
        return {
            "resource": target["ResourceId"],
            "min": target["MinCapacity"],
            "max": target["MaxCapacity"],
            "target": policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"],
            "changed": changed,
        }

    def _is_as_asked(self) -> bool:
        target, policy = self._read_back()
        return self.target.items() <= target.items() and self.policy.items() <= policy.items()

    def _read_back(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The target and the policy as AWS describes them; an empty dict for one that is not there."""
        namespace, resource = self.target["ServiceNamespace"], self.target["ResourceId"]
        targets = self.hook.conn.describe_scalable_targets(ServiceNamespace=namespace, ResourceIds=[resource])
        policies = self.hook.conn.describe_scaling_policies(ServiceNamespace=namespace, ResourceId=resource)
        ours = (one for one in policies["ScalingPolicies"] if one["PolicyName"] == self.policy["PolicyName"])
        return next(iter(targets["ScalableTargets"]), {}), next(ours, {})
