"""The function as its callers meet it: an event in, an answer and a line of log out, real servers on both sides."""

import base64
import json
import math
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from invoke_endpoint import handler
from invoke_endpoint.errors import ConfigurationError
from invoke_endpoint.handler import lambda_handler

Serve = Callable[..., Any]
Reply = Callable[..., Any]
Environment = Callable[..., None]

EVENTS = Path(__file__).parent / "events"
HTTP_EVENTS = ["function_url", "http_api", "rest_api"]
WEIGHTS = [math.exp(score) for score in (0.5, 2.25, -1.0)]
PROBABILITIES = {
    label: weight / sum(WEIGHTS) for label, weight in zip(["Beagle", "Pug", "Saluki"], WEIGHTS, strict=True)
}


def http_event(name: str, body: str | None, *, encoded: bool = False) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    if encoded and body is not None:
        body = base64.b64encode(body.encode()).decode()
    return event | {"body": body, "isBase64Encoded": encoded}


def error_of(answer: dict[str, Any]) -> tuple[int, str]:
    assert answer.keys() == {"statusCode", "headers", "body"}
    error = json.loads(answer["body"])["error"]
    assert error.keys() == {"code", "message"}
    assert error["message"]
    return answer["statusCode"], error["code"]


@pytest.fixture
def photos(serve: Serve, reply: Reply, photo: bytes) -> Any:
    return serve(reply(200, photo, Content_Type="image/jpeg"))


@pytest.fixture
def image(photo: bytes) -> str:
    return base64.b64encode(photo).decode()


@pytest.fixture
def function(endpoint: Any, environment: Environment, photos: Any) -> None:
    """The function's environment, trusting the photos' host."""
    environment(endpoint.url, ALLOWED_HOSTS=photos.authority)


@pytest.mark.usefixtures("function")
def test_answers_with_scores_and_predictions(photos: Any, endpoint: Any, photo: bytes, context: Any) -> None:
    answer = lambda_handler({"url": f"{photos.url}/pug.jpg"}, context)

    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Type"] == "application/json"
    assert answer["headers"]["Access-Control-Allow-Origin"] == "*"
    assert answer["body"] == "[[0.5, 2.25, -1.0]]"
    assert [prediction["label"] for prediction in answer["predictions"]] == ["Pug", "Beagle", "Saluki"]
    assert {p["label"]: p["probability"] for p in answer["predictions"]} == pytest.approx(PROBABILITIES)
    assert answer.keys() == {"statusCode", "headers", "body", "predictions"}
    path, headers, body = endpoint.requests[0]
    assert (path, headers["Content-Type"], body) == ("/endpoints/kennel-dogs/invocations", "image/jpeg", photo)
    json.dumps(answer)


@pytest.mark.usefixtures("function")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_takes_the_photo_itself(endpoint: Any, image_of: Callable[[str], bytes], context: Any, kind: str) -> None:
    photo = image_of(kind)
    answer = lambda_handler({"image": base64.b64encode(photo).decode()}, context)
    assert answer["predictions"][0]["label"] == "Pug"
    _, headers, body = endpoint.requests[0]
    assert (headers["Content-Type"], body) == (f"image/{kind.lower()}", photo)


def test_the_bytes_of_a_photo_decide_its_type_and_not_its_server(
    serve: Serve, reply: Reply, endpoint: Any, environment: Environment, image_of: Callable[[str], bytes], context: Any
) -> None:
    photos = serve(reply(200, image_of("WEBP"), Content_Type="image/jpeg"))
    environment(endpoint.url, ALLOWED_HOSTS=photos.authority)
    assert lambda_handler({"url": f"{photos.url}/pug.jpg"}, context)["statusCode"] == 200
    assert endpoint.requests[0][1]["Content-Type"] == "image/webp"


@pytest.mark.usefixtures("function")
@pytest.mark.parametrize("name", HTTP_EVENTS)
@pytest.mark.parametrize("encoded", [False, True])
def test_answers_over_http(image: str, context: Any, name: str, encoded: bool) -> None:
    body = json.dumps({"image": image, "top_k": 2})
    answer = lambda_handler(http_event(name, body, encoded=encoded), context)

    assert (answer["statusCode"], answer["body"]) == (200, "[[0.5, 2.25, -1.0]]")
    predictions = json.loads(answer["headers"]["X-Predictions"])
    assert [prediction["label"] for prediction in predictions] == ["Pug", "Beagle"]
    assert answer.get("predictions", predictions) == predictions


@pytest.mark.usefixtures("function")
def test_a_rest_api_gets_only_keys_it_knows(image: str, context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG_RESPONSE", "1")
    answer = lambda_handler(http_event("rest_api", json.dumps({"image": image})), context)
    assert answer.keys() == {"statusCode", "headers", "body"}


def test_the_header_stays_small_whatever_top_k(
    serve: Serve, reply: Reply, environment: Environment, image: str, context: Any
) -> None:
    labels = [f"Breed_{place}\r\n\u00e4" for place in range(133)]
    answer_text = json.dumps({"scores": [[0.0] * 133], "labels": labels})
    environment(serve(reply(200, answer_text.encode())).url)
    answer = lambda_handler({"image": image, "top_k": 133}, context)
    assert len(answer["predictions"]) == 133
    header = answer["headers"]["X-Predictions"]
    assert header.isascii()
    assert header.isprintable()
    assert [prediction["label"] for prediction in json.loads(header)] == labels[:10]


@pytest.mark.usefixtures("function")
@pytest.mark.parametrize(("top_k", "count"), [(None, 3), (1, 1), (3, 3)])
def test_top_k_limits_the_predictions(image: str, context: Any, top_k: int | None, count: int) -> None:
    answer = lambda_handler({"image": image, "top_k": top_k}, context)
    assert len(answer["predictions"]) == count
    assert len(json.loads(answer["body"])[0]) == 3


@pytest.mark.usefixtures("function")
@pytest.mark.parametrize("top_k", [0, 4, "5", 1.5, True])
def test_refuses_a_top_k_outside_the_classes(image: str, context: Any, top_k: object) -> None:
    assert error_of(lambda_handler({"image": image, "top_k": top_k}, context)) == (400, "bad_request")


@pytest.mark.usefixtures("function")
@pytest.mark.parametrize("event", [{}, {"url": ""}, {"photo": "https://example.com"}, [], "text", None, 5])
def test_refuses_an_event_without_a_photo(event: object, context: Any) -> None:
    answer = lambda_handler(event, context)
    assert error_of(answer) == (400, "bad_request")
    assert "url" in json.loads(answer["body"])["error"]["message"]


@pytest.mark.usefixtures("function")
@pytest.mark.parametrize("name", HTTP_EVENTS)
@pytest.mark.parametrize("body", [None, "", "{", "[]", "null", "{}", "[" * 200_000, '{"url": ' + "9" * 5000 + "}"])
def test_refuses_a_malformed_body(context: Any, name: str, body: str | None) -> None:
    assert error_of(lambda_handler(http_event(name, body), context)) == (400, "bad_request")


@pytest.mark.usefixtures("function")
@pytest.mark.parametrize("body", ["not base64!", base64.b64encode(b"\xff\xfe{").decode()])
def test_refuses_a_body_that_does_not_decode(context: Any, body: str) -> None:
    event = http_event("function_url", None) | {"body": body, "isBase64Encoded": True}
    assert error_of(lambda_handler(event, context)) == (400, "bad_request")


@pytest.mark.usefixtures("function")
@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        ({"image": "not base64"}, 400, "bad_request"),
        ({"url": "https://127.0.0.1/latest"}, 403, "address_not_allowed"),
        ({"image": base64.b64encode(bytes(7 * 2**20)).decode()}, 413, "photo_too_large"),
        ({"image": base64.b64encode(b"BM6").decode()}, 415, "unsupported_type"),
        ({"image": base64.b64encode(b"plain text").decode()}, 422, "unreadable_image"),
    ],
)
def test_refuses_what_is_no_photo_for_it(
    endpoint: Any, context: Any, event: dict[str, Any], status: int, code: str
) -> None:
    assert error_of(lambda_handler(event, context)) == (status, code)
    assert endpoint.requests == []


@pytest.mark.usefixtures("function")
def test_refuses_a_page_that_is_no_image(serve: Serve, reply: Reply, environment: Environment, context: Any) -> None:
    page = serve(reply(200, b"<!doctype html>", Content_Type="text/html"))
    environment(page.url, ALLOWED_HOSTS=page.authority)
    assert error_of(lambda_handler({"url": page.url}, context)) == (415, "unsupported_type")


@pytest.mark.parametrize(
    ("status", "error_type", "original", "expected"),
    [
        (424, "ModelError", 422, (422, "unreadable_image")),
        (424, "ModelError", 500, (502, "endpoint_failed")),
        (403, "AccessDeniedException", None, (502, "endpoint_failed")),
    ],
)
def test_shows_nothing_of_the_inside_but_logs_it(
    serve: Serve,
    reply: Reply,
    environment: Environment,
    image: str,
    context: Any,
    capsys: pytest.CaptureFixture[str],
    status: int,
    error_type: str,
    original: int | None,
    expected: tuple[int, str],
) -> None:
    inside = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/kennel-dogs /opt/ml/model"
    body = json.dumps({"Message": inside, "OriginalMessage": inside, "OriginalStatusCode": original})
    environment(serve(reply(status, body.encode(), x_amzn_ErrorType=error_type)).url)

    answer = lambda_handler({"image": image}, context)

    assert error_of(answer) == expected
    for word in ("arn:", "123456789012", "kennel-dogs", "/opt/ml"):
        assert word not in json.dumps(answer)
    record = json.loads(capsys.readouterr().out)
    assert (record["request_id"], record["status"], record["code"]) == ("req-1", *expected)
    assert (record["cause"], record["error_type"]) == (inside, error_type)


def test_answers_before_lambda_would_kill_it(serve: Serve, environment: Environment, image: str) -> None:
    released = threading.Event()
    environment(serve(lambda _: released.wait(5)).url)
    context = SimpleNamespace(aws_request_id="req-1", get_remaining_time_in_millis=lambda: 700)
    assert error_of(lambda_handler({"image": image}, context)) == (504, "timed_out")
    released.set()


@pytest.mark.usefixtures("function")
def test_logs_one_line_of_json_without_the_urls_secrets(
    photos: Any, context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    lambda_handler({"url": f"{photos.url}/pug.jpg?X-Amz-Signature=secret"}, context)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "secret" not in out
    record = json.loads(out)
    assert record["photo"] == f"{photos.url}/pug.jpg"
    assert (record["level"], record["request_id"], record["status"]) == ("INFO", "req-1", 200)
    assert (record["best"]["label"], record["photo_type"]) == ("Pug", "image/jpeg")


@pytest.mark.usefixtures("function")
def test_debug_response_adds_the_two_echo_fields(image: str, context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG_RESPONSE", "1")
    answer = lambda_handler({"image": image}, context)
    assert answer["type-result"] == "<class 'str'>"
    assert answer["COntent-Type-In"] == str(context)


@pytest.mark.parametrize("name", ["ENDPOINT_NAME", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
@pytest.mark.usefixtures("function")
def test_fails_by_the_name_of_a_missing_variable(monkeypatch: pytest.MonkeyPatch, context: Any, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError, match=name):
        lambda_handler({"url": "https://example.com/"}, context)


@pytest.mark.usefixtures("function")
def test_a_fault_of_its_own_is_logged_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, context: Any, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("an inner detail")

    monkeypatch.setattr(handler, "classify", broken)
    answer = lambda_handler({"image": image}, context)
    assert error_of(answer) == (500, "internal_error")
    assert "inner detail" not in json.dumps(answer)
    record = json.loads(capsys.readouterr().out)
    assert "an inner detail" in record["traceback"]
