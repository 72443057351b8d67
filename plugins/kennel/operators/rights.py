"""Asking IAM what a role may do, before relying on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException


@dataclass(frozen=True)
class Right:
    """One question to IAM and the answer there should be."""

    action: str
    resource: str
    allowed: bool


class IamHook(AwsBaseHook):
    """A boto3 client of IAM."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(client_type="iam", **kwargs)


class CheckRightsOperator(AwsBaseOperator[IamHook]):
    """Fail when a role may not do what it must, or may do what it must not.

    :param role_arn: the role (templated).
    :param rights: what to ask of it.
    """

    aws_hook_class = IamHook
    template_fields: Sequence[str] = aws_template_fields("role_arn")

    def __init__(self, *, role_arn: str, rights: Sequence[Right], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.role_arn = role_arn
        self.rights = rights

    def execute(self, context: Context) -> dict[str, str]:
        """Return IAM's decision for each `action on resource`; raises naming every wrong one."""
        decisions, wrong = {}, []
        for right in self.rights:
            decision = self._decision(right)
            decisions[f"{right.action} on {right.resource}"] = decision
            if (decision == "allowed") != right.allowed:
                wrong.append(f"{right.action} on {right.resource} is {decision}")
        if wrong:
            raise AirflowException(
                f"{self.role_arn} has not the rights it should: {'; '.join(wrong)}. "
                "Update the stack from infra/foundation.yaml"
            )
        return decisions

    def _decision(self, right: Right) -> str:
        answer = self.hook.conn.simulate_principal_policy(
            PolicySourceArn=self.role_arn, ActionNames=[right.action], ResourceArns=[right.resource]
        )
        return str(answer["EvaluationResults"][0]["EvalDecision"])
