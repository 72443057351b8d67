"""The attacker's HTTPS server, SageMaker's runtime, and a process that invokes the function between the two."""

import contextlib
import functools
import http.server
import json
import os
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from photos import UnreadablePhotoError, read_photo

ROOT = Path(__file__).parents[2]
HOST, ADDRESS = "evil.example", "1.1.1.1"
MUTE_HOST, MUTE_ADDRESS = "mute.example", "1.0.0.1"

Pieces = Iterable[bytes]
Names = dict[str, list[list[str] | None]]


def photo_answer(photo: bytes) -> Pieces:
    """The photo, as an honest server sends it."""
    return [b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(photo), photo]


class Attacker(socketserver.ThreadingTCPServer):
    """Answers each path with pieces of bytes, whatever they are, as long as somebody takes them."""

    daemon_threads = True

    def __init__(self, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate)
        self.answers: dict[str, Callable[[], Pieces]] = {}
        self.cut_off = threading.Event()


class Conversation(socketserver.BaseRequestHandler):
    """One connection; `cut_off` is set when the function has hung up before the answer was over."""

    server: Attacker

    def handle(self) -> None:
        try:
            with self.server.tls.wrap_socket(self.request, server_side=True) as connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    received = connection.recv(65536)
                    if not received:
                        return
                    head += received
                for piece in self.server.answers[head.split(b" ")[1].decode()]():
                    connection.sendall(piece)
        except OSError:
            self.server.cut_off.set()


class Mute(socketserver.BaseRequestHandler):
    """Accepts, and says nothing: not even the first word of TLS."""

    def handle(self) -> None:
        while self.request.recv(65536):
            pass


class Runtime(http.server.BaseHTTPRequestHandler):
    """SageMaker's runtime: the endpoint reads the photo as the real one does, and sees two classes."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            read_photo(body, 224)
        except UnreadablePhotoError as error:
            self._answer(424, {"OriginalStatusCode": 422, "OriginalMessage": str(error)}, "ModelError")
        else:
            self._answer(200, {"scores": [[0.5, 1.5]], "labels": ["Pug", "Boxer"]})

    def _answer(self, status: int, document: object, error: str | None = None) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        if error:
            self.send_header("x-amzn-ErrorType", error)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Outcome:
    """What an invocation came to: `code` is the error's, None for a photo that was looked at."""

    status: int
    code: str | None
    seconds: float
    growth_mb: float
    looked_up: list[str]
    connected: list[str]


@dataclass
class World:
    """All servers there are, and the names by which the function finds them."""

    attacker: Attacker
    ports: dict[str, int]
    certificate: Path

    def invoke(self, event: object, names: Names | None = None, seconds: float = 0) -> Outcome:
        """The function asked once; connecting to the mute server takes `seconds`."""
        routes = {ADDRESS: (self.ports["attacker"], 0), MUTE_ADDRESS: (self.ports["mute"], seconds)}
        known = {HOST: [[ADDRESS]], MUTE_HOST: [[MUTE_ADDRESS]], "localhost": [["127.0.0.1"]], **(names or {})}
        given = {
            "event": event,
            "good": {"url": f"https://{HOST}/photo.jpg"},
            "names": known,
            "routes": routes,
            "runtime": self.ports["runtime"],
        }
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "lambda"),
            "SSL_CERT_FILE": str(self.certificate),
            "ENDPOINT_NAME": "kennel-dogs",
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example-secret",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.ports['runtime']}",
        }
        command = [sys.executable, str(Path(__file__).with_name("caller.py"))]
        done = subprocess.run(
            command, input=json.dumps(given), env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return _outcome(json.loads(done.stdout.splitlines()[-1]))


def _outcome(document: dict[str, Any]) -> Outcome:
    assert document["good"] == 200, "the function did not even answer the good question"
    answer = document["answer"]
    body = json.loads(answer["body"])
    code = body["error"]["code"] if isinstance(body, dict) else None
    growth = document["growth_kb"] / 1024
    return Outcome(
        answer["statusCode"], code, document["seconds"], growth, document["looked_up"], document["connected"]
    )


@contextlib.contextmanager
def world(certificate: Path, photo: bytes) -> Iterator[World]:
    """The servers, started; the attacker's has a good photo at /photo.jpg."""
    attacker = Attacker(certificate)
    attacker.answers["/photo.jpg"] = functools.partial(photo_answer, photo)
    mute = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mute)
    mute.daemon_threads = True
    runtime = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Runtime)
    servers: dict[str, socketserver.TCPServer] = {"attacker": attacker, "mute": mute, "runtime": runtime}
    for server in servers.values():
        threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.05), daemon=True).start()
    ports = {name: int(server.socket.getsockname()[1]) for name, server in servers.items()}
    yield World(attacker, ports, certificate)
    for server in servers.values():
        server.shutdown()
        server.server_close()
