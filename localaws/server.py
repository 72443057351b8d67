"""The server: MiniStack's ASGI app with our services in its tables, behind a check of every signature.

Import it when the environment holds MiniStack's settings; MiniStack reads them on import.
"""

import asyncio
import logging
import signal
import socket
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

import hypercorn.asyncio
import hypercorn.config
import ministack.app
from ministack.core import iam_actions, lambda_runtime, router
from ministack.core.responses import fix_error_content_type
from ministack.core.sigv4 import decode_header_value
from ministack.services import sts

from localaws import access_log, authorization, corrections, function_urls, services
from localaws.cloud import Cloud
from localaws.errors import AwsError
from localaws.instances import images
from localaws.instances.query import write_error as write_form_error
from localaws.persistence import Keeper
from localaws.protocols import Answer, HttpRequest, write_error
from localaws.signatures import Refusal, SignedRequest, refusal

log = logging.getLogger(__name__)

HEALTH = "/_localaws/health"
# MiniStack's own doors: resetting it, reading mail it kept, and the like.
ADMIN = ("/_ministack/", "/_localstack/", "/_aws/")
ROOT_ONLY = Refusal("AccessDenied", "Only the root key may do this.")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def serve(cloud: Cloud, listener: socket.socket) -> None:
    """Serve on a listening socket until SIGTERM or SIGINT, then stop all that was started."""
    loop = asyncio.get_running_loop()
    for name in ("ministack", "persistence", "hypercorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
    asked_to_stop, stop = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)
    gateway = Gateway(cloud)
    app: Any = gateway  # hypercorn's types ask for their own TypedDicts
    config = hypercorn.config.Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.keep_alive_timeout = 75
    serving = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait))
    started = asyncio.create_task(gateway.started.wait())
    keeping = asyncio.create_task(gateway.keeper.run())
    await asyncio.wait({serving, started}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        await asyncio.to_thread(services.recover, cloud)
        print(f"localaws ready: {cloud.url}", flush=True)
        await asyncio.wait({serving, asyncio.create_task(asked_to_stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
        gateway.stopping = True
        # While it still answers, for what its jobs have left to store.
        await asyncio.to_thread(services.shutdown, cloud)
    gateway.keeper.stop()
    await keeping
    stop.set()
    await serving
    cloud.store.close()


class Gateway:
    """The ASGI app."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.keeper = Keeper()
        self.started = asyncio.Event()
        self.stopping = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request, or MiniStack's start and stop."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _lifespan(self, scope: Message, receive: Receive, send: Send) -> None:
        async def forward(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._register()
                self.started.set()
            elif message["type"] == "lifespan.shutdown.complete":
                await asyncio.to_thread(lambda_runtime.reset)
            await send(message)

        corrections.apply()
        access_log.keep(self.cloud.home)
        await ministack.app.app(scope, receive, forward)

    def _register(self) -> None:
        images.publish()
        for namespace, prefixes in services.TARGETS.items():
            router.SERVICE_PATTERNS[namespace] = {"target_prefixes": prefixes, "credential_scope": namespace}
            ministack.app.SERVICE_HANDLERS[namespace] = self._handler(namespace)
        theirs = dict(router.SERVICE_PATTERNS)
        router.SERVICE_PATTERNS.clear()  # the first pattern that fits a target wins
        for namespace, prefixes in services.PARTS.items():
            router.SERVICE_PATTERNS[f"{namespace}-part"] = {"target_prefixes": prefixes}
            ministack.app.SERVICE_HANDLERS[f"{namespace}-part"] = self._handler(namespace)
        router.SERVICE_PATTERNS.update(theirs)
        handlers = ministack.app.SERVICE_HANDLERS
        handlers["ec2"] = self._ec2_handler(handlers["ec2"])
        functions = corrections.with_log_tails(authorization.with_passed_roles(self.cloud, handlers["lambda"]))
        handlers["lambda"] = function_urls.with_addresses(functions, self.cloud.url)
        iam_actions.extract_iam_action = _without_instance_operations(iam_actions.extract_iam_action)

    def _handler(self, namespace: str) -> Callable[..., Awaitable[Answer]]:
        async def handle(
            method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
        ) -> Answer:
            if self.stopping:
                return write_error(AwsError("ServiceUnavailable", "The local AWS is stopping.", 503))
            http = HttpRequest(method, path, headers, body)
            return await services.answer(self.cloud, namespace, router.extract_access_key_id(headers, query), http)

        return handle

    def _ec2_handler(self, ministacks: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Answer]]:
        async def handle(
            method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
        ) -> Answer:
            http = HttpRequest(method, path, headers, body, query)
            if not services.is_instance_operation(http):
                return await ministacks(method, path, headers, body, query)
            if self.stopping:
                return write_form_error(AwsError("ServiceUnavailable", "The local AWS is stopping.", 503))
            return await services.answer_form(self.cloud, router.extract_access_key_id(headers, query), http)

        return handle

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == HEALTH and scope["method"] == "GET":
            await _respond(send, (200, {"Content-Type": "application/json"}, b'{"status": "ok"}'))
            return
        body = await _body(receive)
        if body is None:
            return
        request = _signed_request(scope, body)
        if answer := await function_urls.answer(scope["path"], request):
            self.keeper.follow_up()
            await ministack.app._send_response(send, *answer)
            return
        service = _service(scope, request)
        self._know_root()
        refused = refusal(request, service, self.cloud.account_id)
        access_key_id = router.extract_access_key_id(request.headers, request.query)
        if not refused and scope["path"].startswith(ADMIN) and access_key_id != self.cloud.root.access_key_id:
            refused = ROOT_ONLY
        if refused:
            log.info("refused %s %s: %s", scope["method"], scope["path"], refused.code)
            await _respond(send, _refusal_answer(service, refused, request.headers))
        elif service not in ministack.app.SERVICE_HANDLERS and service != "unknown_query":
            await _respond(send, write_error(AwsError("UnknownOperationException", f"There is no {service} here.")))
        else:
            await ministack.app.app(scope, _replay(body, receive), self._kept(service, scope["path"], request, send))

    def _kept(self, service: str, path: str, request: SignedRequest, send: Send) -> Send:
        """`send`, once what the request changed is on disk."""

        async def send_when_kept(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                await self.keeper.after(service, path, request)
            await send(message)

        return send_when_kept

    def _know_root(self) -> None:
        """Keep root's key among the sessions, whose secrets MiniStack checks; those of its own root it does not."""
        root = self.cloud.root
        if root.access_key_id not in sts._sessions:
            session = {
                "Arn": f"arn:aws:iam::{self.cloud.account_id}:root",
                "UserId": self.cloud.account_id,
                "PrincipalType": "Root",
                "SecretAccessKey": root.secret_access_key,
            }
            sts.register_session(root.access_key_id, session)


def _without_instance_operations(extract: Any) -> Any:
    """MiniStack decides on one of the resources that such an operation names; `answer_form` decides on all."""

    def extract_iam_action(service: str, method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        if service == "ec2" and services.is_instance_operation(HttpRequest(method, path, headers, body, query)):
            return None
        return extract(service, method, path, headers, body, query)

    return extract_iam_action


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None when the client went away."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


def _signed_request(scope: Message, body: bytes) -> SignedRequest:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), decode_header_value(value)
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    raw_path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
    return SignedRequest(scope["method"], raw_path, scope["query_string"].decode("latin-1"), headers, body)


def _service(scope: Message, request: SignedRequest) -> str:
    """The service that MiniStack is going to hand the request to."""
    path, headers = scope["path"], request.headers
    parameters = ministack.app._routing_params(request.method, path, headers, request.body, request.query)
    return str(router.detect_service(request.method, path, headers, parameters))


def _refusal_answer(service: str, refused: Refusal, headers: dict[str, str]) -> Answer:
    request_id = str(uuid.uuid4())
    status, answer_headers, body = iam_actions.access_denied_response(
        service, "", "", request_id, error_code=refused.code, message=refused.message, headers=headers
    )
    fix_error_content_type(service, status, answer_headers)
    return status, {**answer_headers, "x-amzn-requestid": request_id}, body


async def _respond(send: Send, answer: Answer) -> None:
    status, headers, body = answer
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    pairs.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
