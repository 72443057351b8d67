"""Asking a person, by Airflow's own human-in-the-loop task, which waits without a worker, trigger or pool slot."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

# Shorter than a week, so that the question of one weekly run does not hold up the next.
ANSWER_WITHIN = timedelta(days=6)


class AskOperator(HITLOperator):
    """Ask whether to approve, when the outcome is `ask`; otherwise skip. XCom has `chosen_options`, and who chose when.

    An unanswered question fails the task. What it was about stays pending.

    :param outcome: what was decided so far (templated).
    """

    APPROVE, REJECT = "Approve", "Reject"
    template_fields: Sequence[str] = (*HITLOperator.template_fields, "outcome")

    def __init__(self, *, outcome: str, **kwargs: Any) -> None:
        super().__init__(options=[self.APPROVE, self.REJECT], response_timeout=ANSWER_WITHIN, **kwargs)
        self.outcome = outcome

    def execute(self, context: Context) -> Any:
        """Park the task until somebody has answered."""
        if self.outcome != "ask":
            raise AirflowSkipException(f"Nothing to ask: the outcome is {self.outcome}")
        return super().execute(context)

    def process_trigger_event_error(self, event: dict[str, Any]) -> None:
        """Fail for good when nobody has answered."""
        if event["error_type"] == "timeout":
            raise AirflowFailException(
                f"nobody has answered in {ANSWER_WITHIN.days} days: the model stays pending in the registry; "
                "clear this task to ask again"
            )
        super().process_trigger_event_error(event)

    @classmethod
    def said(cls, answer: dict[str, Any]) -> str:
        """Who answered what, for the registry."""
        who = (answer.get("responded_by_user") or {}).get("name", "somebody")
        return f"{who} chose {answer['chosen_options'][0]} in Airflow"
