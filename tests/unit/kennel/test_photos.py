import json
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException

from kennel.defaults import ModelAtFaultError
from kennel.photos import check_endpoints, check_functions

SAMPLE = {"photo": "a.jpg", "label": "pug"}


def endpoints(scores: Any, labels: Any = ("boxer", "pug")) -> bytes:
    return json.dumps({"scores": scores, "labels": labels}).encode()


def functions(body: str, label: str = "pug", status: int = 200) -> dict[str, Any]:
    return {"statusCode": status, "body": body, "predictions": [{"label": label, "probability": 0.9}]}


def test_the_right_label_with_a_score_a_class_passes() -> None:
    check_endpoints(endpoints([[-1.0, 2]]), SAMPLE, 2)
    check_functions(functions("[[-1.0, 2]]"), SAMPLE, 2)


@pytest.mark.parametrize(
    "body",
    [endpoints([[3, 2]]), endpoints([[1, 2, 3]]), endpoints([1, 2]), endpoints("no"), b"{}", b"<html>", b"[]", b"\xff"],
)
def test_anything_else_from_an_endpoint_is_the_models_fault(body: bytes) -> None:
    with pytest.raises(ModelAtFaultError):
        check_endpoints(body, SAMPLE, 2)


@pytest.mark.parametrize(
    "answer", [functions("[[-1, 2]]", label="boxer"), functions("[[1]]"), functions("[[NaN, 1]]"), functions("oops")]
)
def test_so_it_is_from_the_function(answer: dict[str, Any]) -> None:
    with pytest.raises(ModelAtFaultError):
        check_functions(answer, SAMPLE, 2)


def test_a_function_that_does_not_get_to_the_model_does_not_blame_it() -> None:
    with pytest.raises(AirflowException, match=r"answers 502 to a\.jpg") as failed:
        check_functions(functions("{}", status=502), SAMPLE, 2)
    assert not isinstance(failed.value, ModelAtFaultError)
