"""Processing jobs. Each runs as processes of this machine, see localaws.jobs.processing."""

import shutil
from collections.abc import Iterator

from localaws.cloud import Cloud, Handler, Request, Response, now
from localaws.errors import AwsError
from localaws.jobs import live
from localaws.jobs.processing import FINAL, KIND, ProcessingJob
from localaws.jobs.workspace import is_inside
from localaws.sagemaker import tags
from localaws.sagemaker.training import INTERRUPTED, jobs_listing, role_credentials
from localaws.store import Document

SUMMARY = (
    "ProcessingJobName",
    "ProcessingJobArn",
    "CreationTime",
    "ProcessingEndTime",
    "LastModifiedTime",
    "ProcessingJobStatus",
    "FailureReason",
    "ExitMessage",
)
LOCAL_ROOT = "/opt/ml/processing"


def find(cloud: Cloud, name: str) -> Document:
    """A job's record. ValidationException when there is none."""
    document = cloud.store.get(KIND, name)
    if document is None:
        raise AwsError("ValidationException", f"Could not find requested job with name: {name}")
    return document


def create_processing_job(cloud: Cloud, request: Request) -> Response:
    """CreateProcessingJob."""
    for problem in _problems(request):
        raise AwsError("ValidationException", problem)
    name, moment = request["ProcessingJobName"], now()
    arn = cloud.arn("sagemaker", f"processing-job/{name}")
    credentials = role_credentials(cloud, request["RoleArn"], name)
    document = {key: value for key, value in request.items() if key != "Tags"}
    document |= {
        "ProcessingJobArn": arn,
        "ProcessingJobStatus": "InProgress",
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400, **request.get("StoppingCondition", {})},
    }
    if not cloud.store.add(KIND, name, document):
        raise AwsError(
            "ResourceInUse", f"Job name must be unique within an AWS account and region, and {arn} already exists."
        )
    tags.replace(cloud, arn, request.get("Tags", ()))
    live.start(cloud, KIND, name, ProcessingJob(cloud, name, credentials))
    return {"ProcessingJobArn": arn}


def describe_processing_job(cloud: Cloud, request: Request) -> Response:
    """DescribeProcessingJob."""
    return find(cloud, request["ProcessingJobName"])


def stop_processing_job(cloud: Cloud, request: Request) -> Response:
    """StopProcessingJob: SIGTERM, SIGKILL after 120 s; its outputs are not uploaded."""
    name = request["ProcessingJobName"]
    find(cloud, name)
    run = live.find(cloud, KIND, name)
    if run:
        with run.lock:
            if run.closed:
                run = None
            elif not run.stopping:
                cloud.store.update(KIND, name, ProcessingJobStatus="Stopping", LastModifiedTime=now())
                run.stop()
    if run is None:
        status = find(cloud, name)["ProcessingJobStatus"]
        raise AwsError(
            "ValidationException", f"The request was rejected because the processing job is in status {status}."
        )
    return {}


def list_processing_jobs(cloud: Cloud, request: Request) -> Response:
    """ListProcessingJobs."""
    return jobs_listing(
        cloud.store.all(KIND),
        request,
        into="ProcessingJobSummaries",
        name="ProcessingJobName",
        status="ProcessingJobStatus",
        members=SUMMARY,
    )


def recover(cloud: Cloud) -> None:
    """Fail the jobs that an earlier server left unfinished; their processes went with it."""
    for document in cloud.store.all(KIND):
        name = document["ProcessingJobName"]
        if document["ProcessingJobStatus"] not in FINAL and live.find(cloud, KIND, name) is None:
            moment = now()
            outcome = {"ProcessingJobStatus": "Failed", "FailureReason": INTERRUPTED, "ProcessingEndTime": moment}
            cloud.store.update(KIND, name, LastModifiedTime=moment, **outcome)
            shutil.rmtree(live.directory(cloud, KIND, name), ignore_errors=True)


def shutdown(cloud: Cloud) -> None:
    """Kill every job; the next `recover` says so."""
    live.shutdown(cloud, KIND)


def _problems(request: Request) -> Iterator[str]:
    if "ContainerEntrypoint" not in request["AppSpecification"]:
        yield "AppSpecification needs a ContainerEntrypoint: the PyTorch images bring none for processing."
    for given in request.get("ProcessingInputs", ()):
        source = given.get("S3Input")
        if source is None:
            yield f"Input {given['InputName']}: the local AWS reads only S3Input."
        elif source.get("S3InputMode", "File") != "File":
            yield f"Input {given['InputName']}: the local AWS has no S3InputMode Pipe; use File."
        else:
            yield from _path_problems(f"Input {given['InputName']}", source.get("LocalPath", ""))
    for output in request.get("ProcessingOutputConfig", {}).get("Outputs", ()):
        if "S3Output" not in output:
            yield f"Output {output['OutputName']}: the local AWS writes only S3Output."
        else:
            yield from _path_problems(f"Output {output['OutputName']}", output["S3Output"].get("LocalPath", ""))


def _path_problems(what: str, path: str) -> Iterator[str]:
    if not is_inside(path, LOCAL_ROOT):
        yield f"{what}: LocalPath {path} must begin with {LOCAL_ROOT}/."


OPERATIONS: dict[str, Handler] = {
    "CreateProcessingJob": create_processing_job,
    "DescribeProcessingJob": describe_processing_job,
    "StopProcessingJob": stop_processing_job,
    "ListProcessingJobs": list_processing_jobs,
}
SIMPLIFIED = {
    "CreateProcessingJob": (
        "Containers are processes of this machine on its own Python, for PyTorch images only, and need a "
        "ContainerEntrypoint; inputs and outputs are in S3. Instance types, VPCs and encryption keys are recorded and "
        "not acted on."
    ),
}
