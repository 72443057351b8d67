"""Servers on loopback that stand for the photo's host and for SageMaker's runtime, and a certificate for them."""

import functools
import http.server
import io
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from invoke_endpoint import fetch, handler
from tests.certificates import self_signed


@dataclass
class Server:
    """A running server: where it is, and what it was asked, as (path, headers, body)."""

    port: int
    url: str
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    connections: int = 0

    @property
    def authority(self) -> str:
        return self.url.split("//")[1]


class QuietServer(http.server.ThreadingHTTPServer):
    """Says nothing of clients that hang up, as the function does on purpose in many a test."""

    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        pass


Respond = Callable[[http.server.BaseHTTPRequestHandler], None]
Serve = Callable[..., Server]


def reply(status: int, body: bytes = b"", **headers: str) -> Respond:
    """Answers every request alike; header names are written with underscores."""

    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in ({"Content-Length": str(len(body))} | names).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    return respond


@pytest.fixture(name="reply")
def reply_fixture() -> Callable[..., Respond]:
    return reply


@pytest.fixture
def serve(certificate: Path) -> Iterator[Serve]:
    """Starts servers that answer with a function of the request handler; `tls` puts one behind `certificate`."""
    with_servers: list[http.server.ThreadingHTTPServer] = []

    def start(respond: Respond, *, tls: bool = False) -> Server:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                server.connections += 1

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.requests.append((self.path, dict(self.headers), body))
                respond(self)

            do_GET = do_POST = handle_any  # noqa: N815  (the base class looks for these names)

            def log_message(self, *args: object, **kwargs: object) -> None:
                pass

        listening = QuietServer(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            listening.socket = context.wrap_socket(listening.socket, server_side=True)
        server = Server(listening.server_port, f"{'https' if tls else 'http'}://127.0.0.1:{listening.server_port}")
        threading.Thread(target=functools.partial(listening.serve_forever, poll_interval=0.01), daemon=True).start()
        with_servers.append(listening)
        return server

    yield start
    for listening in with_servers:
        listening.shutdown()
        listening.server_close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and localhost, with its key, in one file."""
    return self_signed(tmp_path_factory.mktemp("tls") / "certificate.pem", ["localhost"])


@pytest.fixture
def trust(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The function trusts `certificate`, as it does the world's certificate authorities otherwise."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    fetch._tls.cache_clear()
    yield
    fetch._tls.cache_clear()


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A real JPEG."""
    return _image("JPEG")


@pytest.fixture(scope="session")
def image_of() -> Callable[[str], bytes]:
    """Makes a real image of a type that Pillow writes."""
    return _image


def _image(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((16, 16), 50).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def endpoint(serve: Serve) -> Server:
    """A runtime whose one endpoint sees three classes, the second most of all."""
    answer = {"scores": [[0.5, 2.25, -1.0]], "labels": ["Beagle", "Pug", "Saluki"]}
    return serve(reply(200, json.dumps(answer).encode(), Content_Type="application/json"))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the function's environment as Lambda would, with a runtime at `url`."""

    def set_environment(url: str, **more: str) -> None:
        values = {
            "ENDPOINT_NAME": "kennel-dogs",
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example-secret",
            "AWS_SESSION_TOKEN": "example-token",
            "AWS_ENDPOINT_URL": url,
        }
        for name in ("ALLOWED_HOSTS", "DEBUG_RESPONSE", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (values | more).items():
            monkeypatch.setenv(name, value)
        handler._runtime.cache_clear()

    return set_environment


@pytest.fixture
def context() -> Any:
    """Lambda's context object, as far as the function reads it."""
    return SimpleNamespace(aws_request_id="req-1", get_remaining_time_in_millis=lambda: 10_000)
