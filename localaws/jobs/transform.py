"""One batch transform job: the model's serving processes, and every input object through them."""

import contextlib
import functools
import gzip
import http.client
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, ClassVar

from localaws.cloud import Cloud, now
from localaws.jobs import s3
from localaws.jobs.clients import client
from localaws.jobs.live import JobError, Recorded, Run
from localaws.serving.instance import Instance, Stopped
from localaws.serving.variant import StartError, Variant
from localaws.store import Document

KIND, TITLE = "transform-job", "Transform"
LOG_GROUP = "/aws/sagemaker/TransformJobs"
PAYLOAD_MB = 6  # SageMaker's MaxPayloadInMB when the request has none
_TIMEOUT_SECONDS = 600  # and its InvocationsTimeoutInSeconds
_RETRIES = 3  # and its InvocationsMaxRetries
_LOOK_SECONDS = 0.1  # between two looks whether the job is to stop


@dataclass(frozen=True)
class Batch(Variant):
    """A model that serves a transform job and no endpoint."""

    host: ClassVar[str] = "transform job"

    @property
    def title(self) -> str:
        """What it is called where something is wrong with it."""
        return f"transform job {self.name}"


class TransformJob(Recorded):
    """A job whose record is in the store, and the model it was created with."""

    kind, title = KIND, TITLE

    def __init__(self, cloud: Cloud, name: str, variant: Variant) -> None:
        super().__init__(cloud, name)
        self._variant = variant

    def run(self, run: Run) -> None:
        """Do the job; its outcome is in its record."""
        document = self._cloud.store.update(KIND, self._name, TransformStartTime=now())
        count = document["TransformResources"]["InstanceCount"]
        place = f"transform.{self._name}"  # no endpoint has such a name
        batch = Batch(
            **asdict(replace(self._variant, name=self._name, environment=_environment(self._variant, document)))
        )
        instances = [Instance(self._cloud, place, batch, count, LOG_GROUP) for _ in range(count)]
        try:
            _together(run, [instance.start for instance in instances], instances)
            self._transform(run, document, instances)
        except StartError as error:
            raise JobError(f"ClientError: {error}") from error
        finally:
            _stop(instances)
            shutil.rmtree(self._cloud.home / "endpoints" / place, ignore_errors=True)
        self._finish(run, "Completed")

    def _transform(self, run: Run, document: Document, instances: Sequence[Instance]) -> None:
        """Every object; one that cannot be transformed fails the job, after the others were."""
        bucket = client(self._cloud, "s3", self._variant.credentials(self._cloud, self._name))
        source = document["TransformInput"]["DataSource"]["S3DataSource"]
        try:
            of, named = s3.objects(bucket, source["S3Uri"], source["S3DataType"])
        except s3.TransferError as error:
            raise JobError(f"ClientError: Data download failed: {error}") from error
        files = [(key, name) for key, name in named if not name.endswith("/")]
        output = document["TransformOutput"]["S3OutputPath"].rstrip("/")
        scratch = self._cloud.directory("jobs", KIND, self._name)

        def work(lane: int, lanes: int) -> None:
            failures = []
            given, made = scratch / f"{lane}.in", scratch / f"{lane}.out"
            for key, name in files[lane::lanes]:
                run.check()
                try:
                    s3.download_file(bucket, f"s3://{of}/{key}", given)
                    _through(instances[lane % len(instances)], document, given, made)
                    s3.upload_file(bucket, made, f"{output}/{name}.out")
                except s3.TransferError as error:
                    failures.append(f"ClientError: Data transfer failed: {error}")
                except JobError as error:
                    failures.append(f"{error} (s3://{of}/{key})")
            if failures:
                raise JobError(failures[0])

        lanes = len(instances) * (document.get("MaxConcurrentTransforms") or 1)
        _together(run, [functools.partial(work, lane, lanes) for lane in range(lanes)], instances)


def _environment(variant: Variant, document: Document) -> dict[str, str]:
    return {
        **variant.environment,
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_BATCH_STRATEGY": document.get("BatchStrategy", "MultiRecord"),
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(document.get("MaxConcurrentTransforms") or 1),
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(document.get("MaxPayloadInMB", PAYLOAD_MB)),
        **document.get("Environment", {}),
    }


def _together(run: Run, calls: Sequence[Callable[[], None]], instances: Sequence[Instance]) -> None:
    """Make calls at the same time, to the end of all; raises what the first that failed raised.

    When the job is to end before them, the instances are stopped and with them the calls.
    """
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
        try:
            while wait(futures, _LOOK_SECONDS).not_done:
                run.check()
        except Exception:
            _stop(instances)
            raise
    for future in futures:
        with contextlib.suppress(Stopped):
            future.result()
    run.check()


def _stop(instances: Sequence[Instance]) -> None:
    with ThreadPoolExecutor(len(instances)) as pool:
        list(pool.map(Instance.stop, instances))


def _through(instance: Instance, document: Document, given: Path, made: Path) -> None:
    """One object's content through the model, record by record or as a whole. JobError when that fails."""
    ending = b"\n" if document["TransformOutput"].get("AssembleWith") == "Line" else b""
    zipped = document["TransformInput"].get("CompressionType") == "Gzip"
    try:
        with gzip.open(given) if zipped else given.open("rb") as content, made.open("wb") as results:
            for payload in _payloads(content, document):
                results.write(_invoke(instance, document, payload) + ending)
    except (gzip.BadGzipFile, EOFError) as error:
        raise JobError(f"ClientError: Data decompression failed: {error}") from error


def _payloads(content: gzip.GzipFile | IO[bytes], document: Document) -> Iterator[bytes]:
    """The bodies of the requests for one object. JobError for one that is larger than MaxPayloadInMB."""
    most = document.get("MaxPayloadInMB", PAYLOAD_MB) * 1_048_576 or math.inf
    whole = document["TransformInput"].get("SplitType", "None") == "None"
    single = document.get("BatchStrategy") == "SingleRecord"
    batch = b""
    for record in (
        [content.read(-1 if math.isinf(most) else int(most) + 1)]
        if whole
        else (line.rstrip(b"\r\n") for line in content)
    ):
        if len(record) > most:
            raise JobError("ClientError: A record is larger than MaxPayloadInMB")
        if batch and (single or len(batch) + 1 + len(record) > most):
            yield batch
            batch = b""
        batch = batch + b"\n" + record if batch else record
    if batch or whole:
        yield batch


def _invoke(instance: Instance, document: Document, payload: bytes) -> bytes:
    settings = document.get("ModelClientConfig", {})
    for _ in range(settings.get("InvocationsMaxRetries", _RETRIES) + 1):
        status, answer = _post(
            instance, document, payload, settings.get("InvocationsTimeoutInSeconds", _TIMEOUT_SECONDS)
        )
        if status < http.HTTPStatus.BAD_REQUEST:
            return answer
        if status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
            break
    words = answer.decode(errors="replace").partition("\n")[0][:500]
    raise JobError(
        f"AlgorithmError: See job logs for more information. Bad HTTP status received from algorithm: {status} {words}"
    )


def _post(instance: Instance, document: Document, payload: bytes, seconds: float) -> tuple[int, bytes]:
    """The status and body of the model's answer; 503 and why when there is none."""
    types = {
        "Content-Type": document["TransformInput"].get("ContentType"),
        "Accept": document["TransformOutput"].get("Accept"),
    }
    headers = {name: value for name, value in types.items() if value}
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=seconds)
    with contextlib.closing(connection):
        try:
            connection.request("POST", "/invocations", payload, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            return http.HTTPStatus.SERVICE_UNAVAILABLE, f"no answer: {error}".encode()
