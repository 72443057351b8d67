"""Data capture: a share of an endpoint's requests and answers as JSON lines in S3, written off the way of the requests.

The lines, and the files' keys, are those that SageMaker Model Monitor reads:
`<DestinationS3Uri>/<endpoint>/<variant>/YYYY/MM/DD/HH/MM-SS-mmm-<uuid>.jsonl`, by the time of the first line.
"""

import base64
import datetime
import json
import logging
import random
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from localaws.cloud import Cloud, Credentials, Request
from localaws.jobs.clients import client
from localaws.jobs.s3 import TransferError, split_uri
from localaws.serving.variant import StartError, Variant
from localaws.store import Document

FLUSH_SECONDS = 2.0
JOIN_SECONDS = 10.0
PENDING_BYTES = 64 << 20  # what waits to be written; more is not captured, as on an instance whose disk is full
CREDENTIALS_SECONDS = 6 * 3600.0  # half of what a role's credentials last
UNTYPED = "application/octet-stream"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exchange:
    """A request that was answered, at `at` (epoch seconds), and the body and content type of the answer."""

    at: float
    request: Request
    answer: bytes
    answer_type: str


class Capturer:
    """Keeps exchanges until they are written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exchanges: dict[int, tuple[str, Variant, list[Exchange]]] = {}  # by the variant's identity
        self._bytes = 0
        self._credentials: dict[str, tuple[Credentials, float]] = {}

    def add(self, endpoint: str, variant: Variant, request: Request, answer: bytes, headers: Mapping[str, str]) -> None:
        """Keep this exchange if the variant captures, and chance wills."""
        config = variant.capture
        if not config or not config.get("EnableCapture", True):
            return
        if random.random() * 100 >= config["InitialSamplingPercentage"]:  # noqa: S311 - a sample, not a secret
            return
        size = len(request["Body"]) + len(answer)
        with self._lock:
            if self._bytes + size > PENDING_BYTES:
                return
            self._bytes += size
            exchange = Exchange(time.time(), request, answer, headers.get("Content-Type", UNTYPED))
            self._exchanges.setdefault(id(variant), (endpoint, variant, []))[2].append(exchange)

    def flush(self, cloud: Cloud) -> None:
        """Write all there is, a file for each variant, with the rights of the model's role."""
        with self._lock:
            waiting, self._exchanges, self._bytes = self._exchanges, {}, 0
        for endpoint, variant, exchanges in waiting.values():
            try:
                self._write(cloud, endpoint, variant, exchanges)
            except (StartError, TransferError, BotoCoreError, ClientError) as error:
                log.warning("%s exchanges of endpoint %s were not captured: %s", len(exchanges), endpoint, error)

    def _write(self, cloud: Cloud, endpoint: str, variant: Variant, exchanges: list[Exchange]) -> None:
        config = variant.capture or {}
        bucket, prefix = split_uri(config["DestinationS3Uri"])
        at = datetime.datetime.fromtimestamp(exchanges[0].at, datetime.UTC)
        file = f"{at:%Y/%m/%d/%H/%M-%S}-{at.microsecond // 1000:03}-{uuid.uuid4()}.jsonl"
        key = "/".join(filter(None, (prefix.strip("/"), endpoint, variant.name, file)))
        body = "".join(f"{json.dumps(event(config, exchange))}\n" for exchange in exchanges)
        kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": config["KmsKeyId"]} if config.get("KmsKeyId") else {}
        s3 = client(cloud, "s3", self._rights(cloud, variant))
        s3.put_object(Bucket=bucket, Key=key, Body=body.encode(), **kms)

    def _rights(self, cloud: Cloud, variant: Variant) -> Credentials:
        credentials, until = self._credentials.get(variant.role_arn, (None, 0.0))
        if credentials is None or until < time.monotonic():
            credentials = variant.credentials(cloud, "data-capture")
            self._credentials[variant.role_arn] = (credentials, time.monotonic() + CREDENTIALS_SECONDS)
        return credentials


capturer = Capturer()
_stop = threading.Event()
_threads: list[threading.Thread] = []


def start(cloud: Cloud) -> None:
    """Write every few seconds from now on."""
    _stop.clear()
    _threads.append(threading.Thread(target=_follow, args=(cloud,), name="capture", daemon=True))
    _threads[-1].start()


def stop(cloud: Cloud) -> None:
    """Write what is left, and nothing more after it."""
    _stop.set()
    while _threads:
        _threads.pop().join(JOIN_SECONDS)
    capturer.flush(cloud)


def event(config: Document, exchange: Exchange) -> Document:
    """One line of a file."""
    modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
    headers = config.get("CaptureContentTypeHeader", {})
    request = exchange.request
    data: Document = {}
    if modes & {"Input", "InputAndOutput"}:
        data["endpointInput"] = _side("INPUT", request["Body"], request.get("ContentType", UNTYPED), headers)
    if modes & {"Output", "InputAndOutput"}:
        data["endpointOutput"] = _side("OUTPUT", exchange.answer, exchange.answer_type, headers)
    at = datetime.datetime.fromtimestamp(exchange.at, datetime.UTC)
    metadata: Document = {"eventId": str(uuid.uuid4()), "inferenceTime": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
    if "InferenceId" in request:
        metadata["inferenceId"] = request["InferenceId"]
    if "CustomAttributes" in request:
        metadata["customAttributes"] = [request["CustomAttributes"]]
    return {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}


def _side(mode: str, body: bytes, content_type: str, headers: Document) -> Document:
    """A body as text where its type is one of those configured as CSV or JSON, else in base64."""
    plain = content_type.partition(";")[0].strip().lower()
    for encoding, member in (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")):
        if plain in (listed.lower() for listed in headers.get(member, [])):
            try:
                return {"observedContentType": content_type, "mode": mode, "data": body.decode(), "encoding": encoding}
            except UnicodeDecodeError:
                break
    data = base64.b64encode(body).decode()
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": "BASE64"}


def _follow(cloud: Cloud) -> None:
    while not _stop.wait(FLUSH_SECONDS):
        capturer.flush(cloud)
