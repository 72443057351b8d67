"""Asking the local AWS's IAM what a role may do."""

from typing import Any, cast

import pytest
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException

from kennel.operators.rights import CheckRightsOperator, Right

NO_CONTEXT = cast(Context, {})
OBJECT = "arn:aws:s3:::operators/key"
ENDPOINT = "arn:aws:sagemaker:us-east-1:000000000000:endpoint/any"


def check(role_arn: str, *rights: Right) -> Any:
    return CheckRightsOperator(task_id="check_rights", role_arn=role_arn, rights=rights).execute(NO_CONTEXT)


def test_gives_iams_decisions(role_arn: str) -> None:
    decisions = check(
        role_arn,
        Right("s3:GetObject", OBJECT, allowed=True),
        Right("sagemaker:InvokeEndpoint", ENDPOINT, allowed=False),
    )
    assert list(decisions.values()) == ["allowed", "implicitDeny"]


def test_names_every_right_that_is_missing_or_too_much(role_arn: str) -> None:
    with pytest.raises(AirflowException) as failure:
        check(
            role_arn,
            Right("s3:DeleteObject", OBJECT, allowed=False),
            Right("sagemaker:InvokeEndpoint", ENDPOINT, allowed=True),
        )
    assert "s3:DeleteObject" in str(failure.value)
    assert "sagemaker:InvokeEndpoint" in str(failure.value)
    assert "infra/foundation.yaml" in str(failure.value)
