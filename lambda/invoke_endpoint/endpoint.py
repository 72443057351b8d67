"""Asking the SageMaker endpoint, over one connection that is kept for the next invocation."""

import http.client
import json
import ssl
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from .config import Settings
from .errors import EndpointError, InvocationError, TimedOutError, UnreadableImageError, UnsupportedTypeError
from .signing import sign

# How a connection ends that the other side closed while it lay idle: before it served any of the new request.
STALE = (ConnectionError, ssl.SSLEOFError)
# Networks on the way forget an idle connection without a word, and a request on it would wait for its timeout.
IDLE_SECONDS = 60
FAILED = "the endpoint could not answer: the reason is in the function's log"
UNREADABLE = "the photo cannot be read: it is broken, has too many pixels, or is not an image"
TOO_SLOW = "the endpoint took too long to answer"


class Runtime:
    """SageMaker's runtime API at one address, such as https://runtime.sagemaker.eu-west-1.amazonaws.com."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(parts.hostname or "", parts.port)
        self.used = 0.0  # epoch seconds; the wall clock runs on while Lambda has the function frozen

    def invoke(self, settings: Settings, photo: bytes, content_type: str, seconds: float) -> str:
        """The endpoint's answer to a photo, waiting at most `seconds` for each step of the exchange.

        Raises UnreadableImageError and UnsupportedTypeError when the model refuses the photo, EndpointError and
        TimedOutError otherwise.
        """
        url = f"{self.url}/endpoints/{quote(settings.endpoint_name, safe='')}/invocations"
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        headers = sign(url, headers, photo, settings.credentials, settings.region, datetime.now(UTC))
        try:
            status, error_type, body = self._post(urlsplit(url).path, headers, photo, seconds)
        except TimeoutError as error:
            raise TimedOutError(TOO_SLOW, cause=repr(error)) from error
        except (OSError, http.client.HTTPException) as error:
            raise EndpointError(FAILED, cause=repr(error)) from error
        if status != http.HTTPStatus.OK:
            raise _failure(status, error_type, body)
        return body.decode(errors="replace")

    def _post(self, path: str, headers: dict[str, str], body: bytes, seconds: float) -> tuple[int, str, bytes]:
        """Status, error type (empty for none) and body; asked a second time when the kept connection proves stale."""
        if time.time() - self.used > IDLE_SECONDS:
            self.connection.close()
        kept = self.connection.sock is not None
        try:
            return self._exchange(path, headers, body, seconds)
        except STALE:
            if not kept:
                raise
            return self._exchange(path, headers, body, seconds)

    def _exchange(self, path: str, headers: dict[str, str], body: bytes, seconds: float) -> tuple[int, str, bytes]:
        self.connection.timeout = seconds
        if self.connection.sock is not None:
            self.connection.sock.settimeout(seconds)
        try:
            self.connection.request("POST", path, body, headers)
            response = self.connection.getresponse()
            answer = response.status, response.getheader("x-amzn-ErrorType", "").partition(":")[0], response.read()
        except BaseException:
            self.connection.close()  # half an exchange would be read as the answer to the next request
            raise
        self.used = time.time()
        return answer


def _failure(status: int, error_type: str, body: bytes) -> InvocationError:
    """What an error of InvokeEndpoint means to the caller; a ModelError is the container's own answer passed on."""
    try:
        answer: Any = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        answer = {"Message": body[:1000].decode(errors="replace")}
    message = str(answer.get("OriginalMessage") or answer.get("Message") or answer.get("message"))
    original = answer.get("OriginalStatusCode")
    detail = {"endpoint_status": status, "error_type": error_type, "original_status": original, "cause": message}
    if error_type == "ModelError":
        if original == http.HTTPStatus.UNPROCESSABLE_ENTITY:
            return UnreadableImageError(UNREADABLE, **detail)
        if original == http.HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            return UnsupportedTypeError("the endpoint does not take this type of image", **detail)
        if original == 0 and "timed out" in message:  # SageMaker's word for a container that used up its 60 seconds
            return TimedOutError(TOO_SLOW, **detail)
    return EndpointError(FAILED, **detail)
