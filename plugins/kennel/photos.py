"""Photos that the evaluation got right, and what a served model must answer to them."""

import json
import math
from typing import Any

from airflow.sdk.exceptions import AirflowException

from kennel.defaults import ModelAtFaultError


def check_scores(body: str, classes: int) -> None:
    """Raise ModelAtFaultError unless the JSON text is one row of `classes` finite scores: "[[0.1, -2.3, ...]]"."""
    try:
        [scores] = json.loads(body)
        fine = len(scores) == classes and all(math.isfinite(score) for score in scores)
    except (ValueError, TypeError):
        fine = False
    if not fine:
        raise ModelAtFaultError(f"the model answers {body[:200]!r}, which is not a score for each of {classes} classes")


def check_label(label: str, sample: dict[str, Any]) -> None:
    """Raise ModelAtFaultError unless the label is the sample's, `{"photo", "label"}`."""
    if label != sample["label"]:
        raise ModelAtFaultError(
            f"the model calls {sample['photo']} {label}; at its evaluation it said {sample['label']}"
        )


def check_endpoints(body: bytes, sample: dict[str, Any], classes: int) -> None:
    """Raise ModelAtFaultError unless an endpoint's answer names the sample's label with the highest score."""
    try:
        answer = json.loads(body)
        scores, labels = answer["scores"], answer["labels"]
    except (ValueError, TypeError, KeyError):
        raise ModelAtFaultError(f"the model answers {body[:200]!r}, which are not scores and labels") from None
    check_scores(json.dumps(scores), classes)
    check_label(max(zip(scores[0], labels, strict=False))[1], sample)


def check_functions(answer: dict[str, Any], sample: dict[str, Any], classes: int) -> None:
    """Raise unless the function's answer is 200, a score a class, and the sample's label first."""
    if answer.get("statusCode") != 200:
        raise AirflowException(
            f"the function answers {answer.get('statusCode')} to {sample['photo']}: {answer.get('body')}"
        )
    check_scores(answer["body"], classes)
    check_label(answer["predictions"][0]["label"], sample)
