"""What every task has: retries with backoff, a time limit, and a message when it has failed for good."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar, cast

from airflow.providers.amazon.aws.notifications.sns import SnsNotifier
from airflow.sdk import Context, RetryPolicy
from airflow.sdk.definitions.retry_policy import RetryDecision
from airflow.sdk.exceptions import AirflowException
from botocore.exceptions import ClientError

from kennel.config import Classifier
from kennel.names import Names

# The XCom of a task's last failure.
FAILURE = "failure"

# AWS's answers that stay the same however often one asks.
FINAL_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "InvalidInstanceType",
        "InvalidParameterValue",
        "UnauthorizedOperation",
        "ValidationException",
    }
)
# How SageMaker's FailureReason starts when the script or its input is at fault, and not the service.
NO_TRIAL = "No training job succeeded"
FINAL_REASONS = ("AlgorithmError", "ClientError", NO_TRIAL, "No objective metrics found")

MESSAGE = """\
{{ dag.dag_id }}.{{ ti.task_id }} has failed for good in run {{ run_id }}, after try {{ ti.try_number }}.

{{ exception }}

Its log: {{ ti.log_url }}
"""


T = TypeVar("T")


class JobFailedError(AirflowException):
    """A SageMaker job ended otherwise than completed, for a reason that may pass; the message is the job's own."""


class JobAtFaultError(JobFailedError):
    """A job's own script, input or time limit was the reason, and would be again."""


class ModelAtFaultError(AirflowException):
    """A model does not load, or answers too slowly, wrongly or not at all; it would again."""


class OnlyWhatMayPass(RetryPolicy):
    """Retry what may pass by itself: throttling, capacity, a service's own errors. A refusal fails at once.

    A failure is also left as the task's XCom `failure`, `{"reason": one line, "model_at_fault"}`, for what cleans up
    after it.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Airflow's question after a failure."""
        if context:
            left = {
                "reason": " ".join(str(exception).split()),
                "model_at_fault": isinstance(exception, ModelAtFaultError),
            }
            context["ti"].xcom_push(FAILURE, left)
        if is_final(exception):
            return RetryDecision.fail("AWS refuses the request, and would again")
        if isinstance(exception, JobAtFaultError):
            return RetryDecision.fail("the job's own script or input is at fault")
        if isinstance(exception, ModelAtFaultError):
            return RetryDecision.fail("the model is at fault")
        return RetryDecision.default()


def is_final(exception: BaseException) -> bool:
    """Whether AWS has refused, and would again. Of a young role it says for a while that none can assume it."""
    if not isinstance(exception, ClientError):
        return False
    error = exception.response["Error"]
    young_role = error["Code"] == "ValidationException" and "assume" in error["Message"]
    return error["Code"] in FINAL_CODES and not young_role


def rendered(value: Callable[[Context], T]) -> T:
    """A template field that is computed when the task runs: Airflow calls it and puts the result in its place."""

    def render(context: Context, jinja_env: Any) -> T:
        return value(context)

    return cast(T, render)


def task_defaults(classifier: Classifier) -> dict[str, Any]:
    """A DAG's `default_args`. The time limit is for work in the worker; waiting for a job has the job's own.

    Retries start at the pace of polling and double: half a minute on AWS, a second or two on the local AWS.
    """
    return {
        "retries": 4,
        "retry_delay": timedelta(seconds=classifier.environment.poll_seconds),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=10),
        "retry_policy": OnlyWhatMayPass(),
        "execution_timeout": timedelta(minutes=20),
        "region_name": classifier.region,
        "on_failure_callback": SnsNotifier(
            region_name=classifier.region,
            target_arn=Names.of(classifier).topic_arn,
            subject="Kennel: {{ dag.dag_id }}.{{ ti.task_id }} failed",
            message=MESSAGE,
        ),
    }
