"""A call from its request to its answer, with handlers made for the test."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from localaws import services
from localaws.cloud import Cloud, Credentials, Handler
from localaws.errors import AwsError
from localaws.protocols import Answer, HttpRequest
from localaws.store import Store


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    root = Credentials("AKIA", "secret")
    return Cloud(Store(tmp_path / "db"), tmp_path, "http://127.0.0.1:1", "000000000000", "us-east-1", root)


@pytest.fixture(autouse=True)
def everybody_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "authorize", lambda *_: None)


def handle(service: str, operation: str, handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(services.OPERATIONS[service], operation, handler)


def ask(cloud: Cloud, http: HttpRequest, namespace: str = "sagemaker") -> Answer:
    return asyncio.run(services.answer(cloud, namespace, "AKIA", http))


def target(operation: str, body: bytes = b"{}") -> HttpRequest:
    return HttpRequest("POST", "/", {"x-amz-target": f"SageMaker.{operation}"}, body)


def test_a_handler_may_be_a_coroutine(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    async def list_models(cloud: Cloud, request: dict[str, Any]) -> dict[str, Any]:
        return {"Models": [], "Asked": request}

    handle("sagemaker", "ListModels", list_models, monkeypatch)
    status, headers, body = ask(cloud, target("ListModels", b'{"MaxResults": 3}'))
    assert (status, headers["Content-Type"]) == (200, "application/x-amz-json-1.1")
    assert json.loads(body) == {"Models": [], "Asked": {"MaxResults": 3}}


def test_an_error_carries_its_shapes_members(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(cloud: Cloud, request: dict[str, Any]) -> dict[str, Any]:
        raise AwsError("ModelError", "It broke.", 424, OriginalStatusCode=400)

    handle("sagemaker", "ListModels", fail, monkeypatch)
    status, headers, body = ask(cloud, target("ListModels"))
    assert (status, headers["x-amzn-errortype"]) == (424, "ModelError")
    assert json.loads(body) == {"__type": "ModelError", "message": "It broke.", "OriginalStatusCode": 400}


def test_a_bug_is_logged_and_not_told(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(cloud: Cloud, request: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("inside")

    handle("sagemaker", "ListModels", fail, monkeypatch)
    status, _, body = ask(cloud, target("ListModels"))
    assert status == 500
    assert json.loads(body)["__type"] == "InternalFailure"
    assert b"inside" not in body
    assert "ZeroDivisionError: inside" in caplog.text


@pytest.mark.parametrize("body", [b"[]", b"not json", b"\xff"])
def test_a_body_that_is_no_object_is_refused(cloud: Cloud, body: bytes) -> None:
    status, _, answer = ask(cloud, target("ListModels", body))
    assert (status, json.loads(answer)["__type"]) == (400, "SerializationException")


def test_a_rest_call_is_read_from_path_headers_and_body(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def invoke(cloud: Cloud, request: dict[str, Any]) -> dict[str, Any]:
        asked.update(request)
        return {"Body": b"scores", "ContentType": "application/json", "InvokedProductionVariant": "AllTraffic"}

    handle("sagemaker-runtime", "InvokeEndpoint", invoke, monkeypatch)
    headers = {"content-type": "image/jpeg", "accept": "application/json", "host": "127.0.0.1"}
    status, answered, body = ask(cloud, HttpRequest("POST", "/endpoints/dogs/invocations", headers, b"\xff\xd8"))
    assert asked == {
        "EndpointName": "dogs",
        "ContentType": "image/jpeg",
        "Accept": "application/json",
        "Body": b"\xff\xd8",
    }
    assert (status, body) == (200, b"scores")
    assert answered == {"Content-Type": "application/json", "x-Amzn-Invoked-Production-Variant": "AllTraffic"}


@pytest.mark.parametrize(
    ("namespace", "method", "path"),
    [
        ("sagemaker", "GET", "/endpoints/dogs/invocations"),
        ("sagemaker", "POST", "/elsewhere"),
        ("sagemaker", "POST", "/endpoints/dogs/async-invocations"),
        ("application-autoscaling", "POST", "/"),
    ],
)
def test_a_path_of_no_operation_is_refused(cloud: Cloud, namespace: str, method: str, path: str) -> None:
    status, _, body = ask(cloud, HttpRequest(method, path, {}, b""), namespace)
    assert 400 <= status <= 404
    assert json.loads(body)["__type"] == "UnknownOperationException"


def test_a_module_that_cannot_stop_does_not_keep_the_others_running(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stopped = []

    class Broken:
        __name__ = "broken"

        def shutdown(self, cloud: Cloud) -> None:
            raise OSError("no")

    class Whole:
        __name__ = "whole"

        def shutdown(self, cloud: Cloud) -> None:
            stopped.append("whole")

    monkeypatch.setattr(services, "MODULES", {"sagemaker": (Broken(), Whole())})
    services.shutdown(cloud)
    assert stopped == ["whole"]
    assert "shutdown of broken failed" in caplog.text
