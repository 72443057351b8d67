"""SageMaker Runtime: a request to the least busy instance of an endpoint, and its answer back."""

import asyncio
import time
from collections.abc import Mapping

import aiohttp

from localaws.cloud import Cloud, Handler, Request, Response
from localaws.errors import AwsError
from localaws.serving.capture import capturer
from localaws.serving.deployment import KIND
from localaws.serving.fleet import router
from localaws.serving.instance import Instance
from localaws.serving.metrics import recorder
from localaws.serving.router import NoEndpointError, NotReadyError, NoVariantError

TIMEOUT_SECONDS = 60.0  # SageMaker's own limit of an invocation
CLOSE_SECONDS = 5.0
BODY_BYTES = 6 << 20
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
# What the container is told of a request, by the header that tells it.
HEADERS = {"ContentType": "Content-Type", "Accept": "Accept", "CustomAttributes": ATTRIBUTES}
# Members that choose among several models, containers or components, which an endpoint here has not.
CHOICES = ("TargetModel", "TargetContainerHostname", "InferenceComponentName")

_sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}


async def invoke_endpoint(cloud: Cloud, request: Request) -> Response:
    """InvokeEndpoint."""
    if chosen := next((member for member in CHOICES if member in request), None):
        raise AwsError("ValidationError", f"{chosen} is not built in the local AWS: its endpoints serve one container.")
    began = time.perf_counter()
    endpoint = request["EndpointName"]
    variant, instance = _lease(cloud, endpoint, request.get("TargetVariant"))
    sent = time.perf_counter()
    status: int | None = 500
    try:
        status, headers, body = await _post(instance, request)
    except aiohttp.ClientConnectorError:  # it has just ended, and so has not heard of the request
        status = None
        raise _starting_again(endpoint) from None
    except TimeoutError:
        message = (
            "Your invocation timed out while waiting for a response from container primary. Review the latency "
            "metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
        )
        raise _model_error(cloud, endpoint, variant, 0, message) from None
    except aiohttp.ClientError as error:
        raise _model_error(cloud, endpoint, variant, 500, f"The container ended: {error}") from error
    finally:
        router.release(instance)
        answered = time.perf_counter()
        if status is not None:
            recorder.record(endpoint, variant, status, answered - sent, sent - began)
    if status >= 400:
        raise _model_error(cloud, endpoint, variant, status, body.decode(errors="replace"))
    capturer.add(endpoint, instance.variant, request, body, headers)
    return {
        "Body": body,
        "ContentType": headers.get("Content-Type"),
        "InvokedProductionVariant": variant,
        "CustomAttributes": headers.get(ATTRIBUTES),
    }


def check_size(body: bytes) -> None:
    """As the gateway in front of the runtime: a body that is too large is answered with its status alone."""
    if len(body) > BODY_BYTES:
        raise AwsError("413", f"HTTP content length exceeded {BODY_BYTES} bytes.", 413)


def shutdown(cloud: Cloud) -> None:
    """Close the connections to the instances."""
    while _sessions:
        loop, session = _sessions.popitem()
        asyncio.run_coroutine_threadsafe(session.close(), loop).result(CLOSE_SECONDS)


def _lease(cloud: Cloud, endpoint: str, variant: str | None) -> tuple[str, Instance]:
    try:
        return router.lease(endpoint, variant)
    except NoEndpointError:
        document = cloud.store.get(KIND, endpoint)
        if document and document["EndpointStatus"] == "SystemUpdating":
            raise AwsError("ServiceUnavailable", f"The endpoint {endpoint} is coming back; try again.", 503) from None
        message = f"Endpoint {endpoint} of account {cloud.account_id} not found."
        raise AwsError("ValidationError", message) from None
    except NoVariantError:
        raise AwsError("ValidationError", f"Variant {variant} of endpoint {endpoint} not found.") from None
    except NotReadyError:
        raise _starting_again(endpoint) from None


def _starting_again(endpoint: str) -> AwsError:
    message = f"The instances of the endpoint {endpoint} are starting again; its log says why."
    return AwsError("ServiceUnavailable", message, 503)


async def _post(instance: Instance, request: Request) -> tuple[int, Mapping[str, str], bytes]:
    loop = asyncio.get_running_loop()
    if loop not in _sessions:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        _sessions[loop] = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
    headers = {header: request[name] for name, header in HEADERS.items() if name in request}
    url = f"http://127.0.0.1:{instance.port}/invocations"
    async with _sessions[loop].post(url, data=request["Body"], headers=headers) as response:
        return response.status, response.headers, await response.read()


def _model_error(cloud: Cloud, endpoint: str, variant: str, status: int, message: str) -> AwsError:
    kind = "client" if 400 <= status < 500 else "server"
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    text = (
        f'Received {kind} error ({status}) from primary with message "{message}". '
        f"See https://{cloud.region}.console.aws.amazon.com/cloudwatch/home?region={cloud.region}"
        f"#logEventViewer:group={group} in account {cloud.account_id} for more information."
    )
    stream = cloud.arn("logs", f"log-group:{group}")
    return AwsError("ModelError", text, 424, OriginalStatusCode=status, OriginalMessage=message, LogStreamArn=stream)


SIMPLIFIED: dict[str, str] = {
    "InvokeEndpoint": "One container, so TargetModel, TargetContainerHostname and InferenceComponentName are refused; "
    "a session (SessionId) is not kept. Captured data is in S3 within seconds, where AWS takes minutes.",
}

OPERATIONS: dict[str, Handler] = {"InvokeEndpoint": invoke_endpoint}
