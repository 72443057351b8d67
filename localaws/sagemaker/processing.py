"""Processing jobs. Each runs as processes of this machine, see localaws.jobs.processing."""

from collections.abc import Iterator

from localaws.cloud import Cloud, Handler, Request, Response, now
from localaws.errors import AwsError
from localaws.jobs import live
from localaws.jobs.processing import KIND, TITLE, ProcessingJob
from localaws.jobs.workspace import is_inside
from localaws.sagemaker import jobs, tags

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


def create_processing_job(cloud: Cloud, request: Request) -> Response:
    """CreateProcessingJob."""
    for problem in _problems(request):
        raise AwsError("ValidationException", problem)
    name, moment = request["ProcessingJobName"], now()
    arn = cloud.arn("sagemaker", f"processing-job/{name}")
    credentials = jobs.role_credentials(cloud, request["RoleArn"], name)
    document = {key: value for key, value in request.items() if key != "Tags"}
    document |= {
        "ProcessingJobArn": arn,
        "ProcessingJobStatus": "InProgress",
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400, **request.get("StoppingCondition", {})},
    }
    if not cloud.store.add(KIND, name, document):
        raise jobs.taken(arn)
    tags.replace(cloud, arn, request.get("Tags", ()))
    live.start(cloud, KIND, name, ProcessingJob(cloud, name, credentials))
    return {"ProcessingJobArn": arn}


def describe_processing_job(cloud: Cloud, request: Request) -> Response:
    """DescribeProcessingJob."""
    return jobs.find(cloud, KIND, request["ProcessingJobName"])


def stop_processing_job(cloud: Cloud, request: Request) -> Response:
    """StopProcessingJob: SIGTERM, SIGKILL after 120 s; its outputs are not uploaded."""
    name = request["ProcessingJobName"]
    jobs.find(cloud, KIND, name)
    jobs.stop(cloud, KIND, TITLE, name)
    return {}


def list_processing_jobs(cloud: Cloud, request: Request) -> Response:
    """ListProcessingJobs."""
    return jobs.jobs_listing(
        cloud.store.all(KIND),
        request,
        into="ProcessingJobSummaries",
        title=TITLE,
        members=SUMMARY,
    )


def recover(cloud: Cloud) -> None:
    """Fail the jobs that an earlier server left unfinished."""
    jobs.recover(cloud, KIND, TITLE)


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
