"""A proxy between Airflow and the local AWS that does to its calls what networks and busy services do."""

import asyncio
import itertools
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web
from yarl import URL

# Of each connection; the proxy's own must not be passed on.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-encoding", "expect"}

# A refusal for being asked too often, in each service's own words; of the others in SageMaker's.
JSON, XML = "application/x-amz-json-1.1", "text/xml"
THROTTLED = {
    "s3": (503, XML, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"),
    "lambda": (429, JSON, '{"__type": "TooManyRequestsException", "message": "Rate exceeded"}'),
    "sts": (
        400,
        XML,
        "<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>",
    ),
}
THROTTLED["iam"] = THROTTLED["sns"] = THROTTLED["sts"]
THROTTLED_JSON = (400, JSON, '{"__type": "ThrottlingException", "message": "Rate exceeded"}')
SERVICE = re.compile(r"/([a-z0-9-]+)/aws4_request")  # in a signature's scope


@dataclass
class Held:
    """Calls of one operation that have been carried out and whose answers wait."""

    operation: str
    arrived: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


Trouble = Callable[[str], str | None]  # from an operation to what happens to its call


def bad_day() -> Trouble:
    """Every third call is throttled; of the others some fail, or lose their connection before or after the fact."""
    calls = itertools.count(1)
    others = itertools.cycle([None, None, "500", None, "lost before", None, None, "lost after", None])

    def happens(operation: str) -> str | None:
        return "throttled" if next(calls) % 3 == 0 else next(others)

    return happens


class Proxy:
    """Passes requests on as they are, signature and all, unless told otherwise."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.trouble: Trouble | None = None
        self.happened: Counter[str] = Counter()
        self._held: list[Held] = []
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.url = ""

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Serve on a free port of the loopback for as long as the context lasts."""
        self._thread.start()
        assert self._ready.wait(30)
        yield self
        self._loop.call_soon_threadsafe(self._stopped.set_result, None)
        self._thread.join(30)

    @contextmanager
    def holding(self, operation: str) -> Iterator[Held]:
        """Hold the answer to the next call of an operation, once it is carried out, until released or the end."""
        held = Held(operation)
        self._held.append(held)
        yield held
        held.released.set()
        if held in self._held:
            self._held.remove(held)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._stopped = self._loop.create_future()
        self._loop.run_until_complete(self._run())

    async def _run(self) -> None:
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(auto_decompress=False, connector=connector) as self._session:
            app = web.Application(client_max_size=1 << 30)
            app.router.add_route("*", "/{path:.*}", self._handle)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._ready.set()
            await self._stopped
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        operation = await _operation(request)
        # a presigned URL is read by the function, whose callers have a bad day of their own
        signed = request.headers.get("Authorization", "")
        trouble = self.trouble(operation) if self.trouble and signed else None
        if trouble:
            self.happened[trouble] += 1
        if trouble == "throttled":
            service = SERVICE.search(signed)
            status, kind, text = THROTTLED.get(service[1] if service else "", THROTTLED_JSON)
            return web.Response(status=status, text=text, content_type=kind)
        if trouble == "500":
            return web.Response(status=500)
        if trouble == "lost before":
            return self._cut(request)
        try:
            answer = await self._passed_on(request)
        except aiohttp.ClientError:
            return self._cut(request)
        for held in [held for held in self._held if held.operation == operation]:
            self._held.remove(held)
            held.arrived.set()
            await asyncio.to_thread(held.released.wait, 120)
        return self._cut(request) if trouble == "lost after" else answer

    async def _passed_on(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        url = URL(self.target + request.raw_path, encoded=True)
        async with self._session.request(
            request.method, url, headers=headers, data=await request.read(), allow_redirects=False
        ) as answer:
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
            body = await answer.read()
            if request.method != "HEAD":
                kept = [(name, value) for name, value in kept if name.lower() != "content-length"]
            return web.Response(status=answer.status, headers=kept, body=body)

    def _cut(self, request: web.Request) -> web.Response:
        """Close the connection in place of an answer."""
        if request.transport:
            request.transport.abort()
        return web.Response()


async def _operation(request: web.Request) -> str:
    """The operation that a request names in a header or a form, else its method and path."""
    if target := request.headers.get("X-Amz-Target", ""):
        return target.rpartition(".")[2]
    if request.content_type == "application/x-www-form-urlencoded":
        return parse_qs(await request.text())["Action"][0]
    return f"{request.method} {request.path}"
