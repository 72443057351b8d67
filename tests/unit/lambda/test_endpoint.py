"""One exchange with SageMaker's runtime, and what its errors mean to the caller."""

import http.server
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from invoke_endpoint import endpoint as asking
from invoke_endpoint.config import Credentials, Settings
from invoke_endpoint.endpoint import Runtime
from invoke_endpoint.errors import (
    EndpointError,
    InvocationError,
    TimedOutError,
    UnreadableImageError,
    UnsupportedTypeError,
)

Serve = Callable[..., Any]
Reply = Callable[..., Any]
Invoke = Callable[..., str]


def invoke(runtime: Runtime, photo: bytes = b"photo", seconds: float = 5) -> str:
    keys = Credentials("ASIAEXAMPLE", "example-secret", "example-token")
    settings = Settings("kennel-dogs", "eu-west-1", runtime.url, keys, frozenset(), False)
    return runtime.invoke(settings, photo, "image/jpeg", seconds)


def refuse(reply: Reply, status: int, error_type: str, body: dict[str, Any] | bytes) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return reply(status, content, x_amzn_ErrorType=error_type)


def test_posts_the_photo_signed_to_the_endpoint(serve: Serve, reply: Reply) -> None:
    server = serve(reply(200, b"the answer"))
    assert invoke(Runtime(f"{server.url}/")) == "the answer"
    path, headers, body = server.requests[0]
    assert (path, body, headers["Content-Type"]) == ("/endpoints/kennel-dogs/invocations", b"photo", "image/jpeg")
    assert headers["Host"] == server.authority
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/")
    assert headers["X-Amz-Security-Token"] == "example-token"


def test_keeps_the_connection_for_the_next_invocation(serve: Serve, reply: Reply) -> None:
    server = serve(reply(200, b"the answer"))
    runtime = Runtime(server.url)
    for _ in range(3):
        invoke(runtime)
    assert (len(server.requests), server.connections) == (3, 1)


def test_keeps_the_connection_after_an_error_answer(serve: Serve, reply: Reply) -> None:
    server = serve(refuse(reply, 424, "ModelError", {"OriginalStatusCode": 422}))
    runtime = Runtime(server.url)
    for _ in range(2):
        with pytest.raises(UnreadableImageError):
            invoke(runtime)
    assert server.connections == 1


def test_connects_again_when_the_kept_connection_was_closed(serve: Serve, reply: Reply) -> None:
    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        reply(200, b"the answer")(request)
        request.close_connection = True  # without saying so in the answer

    server = serve(respond)
    runtime = Runtime(server.url)
    assert [invoke(runtime), invoke(runtime)] == ["the answer", "the answer"]
    assert (len(server.requests), server.connections) == (2, 2)


def test_does_not_trust_a_connection_that_lay_idle(serve: Serve, reply: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(reply(200, b"the answer"))
    runtime = Runtime(server.url)
    invoke(runtime)
    runtime.used -= asking.IDLE_SECONDS + 1
    invoke(runtime)
    assert server.connections == 2


def test_asks_a_new_connection_once_only(serve: Serve) -> None:
    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        request.close_connection = True

    server = serve(respond)
    with pytest.raises(EndpointError):
        invoke(Runtime(server.url))
    assert len(server.requests) == 1


def test_a_slow_endpoint_times_out_and_its_late_answer_is_no_one_elses(serve: Serve, reply: Reply) -> None:
    released = threading.Event()

    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        if len(server.requests) == 2:
            released.wait(5)
        reply(200, f"answer {len(server.requests)}".encode())(request)

    server = serve(respond)
    runtime = Runtime(server.url)
    invoke(runtime)
    with pytest.raises(TimedOutError):
        invoke(runtime, seconds=1)
    assert invoke(runtime) == "answer 3"
    released.set()


def test_a_runtime_that_is_not_there_is_the_endpoints_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with pytest.raises(EndpointError) as caught:
        invoke(Runtime(f"http://127.0.0.1:{port}"))
    assert "refused" in str(caught.value.detail["cause"])


TIMED_OUT = "Your invocation timed out while waiting for a response from container primary."


@pytest.mark.parametrize(
    ("status", "error_type", "body", "error"),
    [
        (424, "ModelError", {"OriginalStatusCode": 422, "OriginalMessage": "truncated"}, UnreadableImageError),
        (424, "ModelError:http://internal.amazon.com/", {"OriginalStatusCode": 422}, UnreadableImageError),
        (424, "ModelError", {"OriginalStatusCode": 415}, UnsupportedTypeError),
        (424, "ModelError", {"OriginalStatusCode": 0, "OriginalMessage": TIMED_OUT}, TimedOutError),
        (424, "ModelError", {"OriginalStatusCode": 0, "OriginalMessage": "worker died"}, EndpointError),
        (424, "ModelError", {"OriginalStatusCode": 500, "OriginalMessage": "KeyError"}, EndpointError),
        (403, "AccessDeniedException", {"Message": "User: arn:aws:sts::1:x is not authorized"}, EndpointError),
        (400, "ValidationError", {"message": "Endpoint kennel-dogs of account 1 not found."}, EndpointError),
        (400, "ThrottlingException", {"Message": "Rate exceeded"}, EndpointError),
        (503, "ServiceUnavailable", b"<html>busy</html>", EndpointError),
        (500, "", b"[]", EndpointError),
        (302, "", b"", EndpointError),
    ],
)
def test_translates_the_runtimes_errors(
    serve: Serve,
    reply: Reply,
    status: int,
    error_type: str,
    body: dict[str, Any] | bytes,
    error: type[InvocationError],
) -> None:
    server = serve(refuse(reply, status, error_type, body))
    with pytest.raises(error) as caught:
        invoke(Runtime(server.url))
    assert caught.value.detail["endpoint_status"] == status
    said = body.get("OriginalMessage") or body.get("Message") or body.get("message") if isinstance(body, dict) else ""
    if said:
        assert said not in str(caught.value)
        assert caught.value.detail["cause"] == said
