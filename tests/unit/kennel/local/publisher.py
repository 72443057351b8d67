"""A publisher of files over HTTP, as good or as bad as a test needs it."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Publisher:
    """What is served, and how.

    `breaks` holds, for each request to come, after how many bytes its connection breaks; None serves it to its end.
    """

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    breaks: list[int | None] = field(default_factory=list)
    ranges: bool = True
    etags: bool = True
    status: int = 200
    on_request: Callable[[], None] = lambda: None
    requests: list[Message] = field(default_factory=list)

    @property
    def asked_for(self) -> list[str | None]:
        """The Range of each request so far."""
        return [request["Range"] for request in self.requests]


@contextmanager
def publishing() -> Iterator[Publisher]:
    """Serve on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with suppress(ConnectionError):  # the client's own doing
                super().handle()

        def do_GET(self) -> None:
            publisher.requests.append(self.headers)
            publisher.on_request()
            content = publisher.files.get(self.path.rpartition("/")[2], b"")
            etag = f'"{hashlib.md5(content).hexdigest()}"'
            start = self._start(etag)
            body = content[start:]
            self.send_response(206 if start else publisher.status)
            if publisher.etags:
                self.send_header("ETag", etag)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            after = publisher.breaks.pop(0) if publisher.breaks else None
            self.wfile.write(body[:after])
            self.close_connection = after is not None

        def _start(self, etag: str) -> int:
            asked = self.headers["Range"]
            if not publisher.ranges or not asked or self.headers["If-Range"] != etag:
                return 0
            return int(asked.removeprefix("bytes=").removesuffix("-"))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        publisher = Publisher(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield publisher
        server.shutdown()
        thread.join()
