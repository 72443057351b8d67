"""What the operations on jobs of all kinds have in common.

A kind has a title, `Training`, `Processing`, `Transform` or `HyperParameterTuning`, from which the members of its
records have their names: `<title>JobName`, `<title>JobStatus`, `<title>EndTime`.
"""

import shutil
from collections.abc import Iterable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from localaws.cloud import Cloud, Credentials, Request, Response, now
from localaws.errors import AwsError
from localaws.jobs import live
from localaws.jobs.clients import assume
from localaws.jobs.live import FINAL
from localaws.sagemaker.listing import listing
from localaws.store import Document

INTERRUPTED = "InternalServerError: The local AWS was restarted while the job ran; run it again."


def find(cloud: Cloud, kind: str, name: str) -> Document:
    """A job's record. ValidationException when there is none."""
    document = cloud.store.get(kind, name)
    if document is None:
        raise AwsError("ValidationException", f"Could not find requested job with name: {name}")
    return document


def taken(arn: str) -> AwsError:
    """The refusal of a job whose name another one has."""
    return AwsError(
        "ResourceInUse",
        f"Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})",
    )


def role_credentials(cloud: Cloud, role_arn: str, name: str) -> Credentials:
    """The keys a job works with. ValidationException when SageMaker could not take on the role."""
    try:
        return assume(cloud, role_arn, f"SageMaker-{name}")
    except ClientError as error:
        message = (
            f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
            "'sagemaker.amazonaws.com' to assume the role."
        )
        raise AwsError("ValidationException", message) from error


def stop(cloud: Cloud, kind: str, title: str, name: str) -> None:
    """Ask a job to stop. ValidationException when it has ended."""
    run = live.find(cloud, kind, name)
    if run:
        with run.lock:
            if not run.closed and not run.stopping:
                cloud.store.update(kind, name, **{f"{title}JobStatus": "Stopping", "LastModifiedTime": now()})
                run.stop()
            if not run.closed:
                return
    status = (cloud.store.get(kind, name) or {})[f"{title}JobStatus"]
    raise AwsError(
        "ValidationException", f"The request was rejected because the {title.lower()} job is in status {status}."
    )


def jobs_listing(
    documents: Iterable[Document], request: Request, *, title: str, order: str = "Ascending", **form: Any
) -> Response:
    """A listing of jobs: what `listing` does, and the request's StatusEquals and times of the last change.

    `order` is the SortOrder of a request that has none.
    """
    status = f"{title}JobStatus"
    wanted = [
        document
        for document in documents
        if request.get("StatusEquals") in (None, document[status])
        and document.get("LastModifiedTime", 0) > request.get("LastModifiedTimeAfter", -1)
        and document.get("LastModifiedTime", 0) < request.get("LastModifiedTimeBefore", float("inf"))
    ]
    if request.get("SortBy") == "Status":
        wanted.sort(key=lambda document: str(document[status]))
    return listing(wanted, request, name=f"{title}JobName", order=order, **form)


def unfinished(cloud: Cloud, kind: str, title: str) -> Iterator[Document]:
    """The jobs that an earlier server left unfinished. Their processes went with it, and their files go now."""
    for document in cloud.store.all(kind):
        name = document[f"{title}JobName"]
        if document[f"{title}JobStatus"] not in FINAL and live.find(cloud, kind, name) is None:
            yield document
            shutil.rmtree(live.directory(cloud, kind, name), ignore_errors=True)


def recover(cloud: Cloud, kind: str, title: str) -> None:
    """Fail the jobs that an earlier server left unfinished."""
    for document in unfinished(cloud, kind, title):
        moment = now()
        times = {f"{title}EndTime": moment, "LastModifiedTime": moment}
        outcome = {f"{title}JobStatus": "Failed", "FailureReason": INTERRUPTED}
        cloud.store.update(kind, document[f"{title}JobName"], **times, **outcome)
