"""Batch transform jobs. Each runs its model's serving processes, see localaws.jobs.transform."""

from collections.abc import Iterator

from localaws.cloud import Cloud, Handler, Request, Response, now
from localaws.errors import AwsError
from localaws.jobs import live
from localaws.jobs.transform import KIND, PAYLOAD_MB, TITLE, TransformJob
from localaws.sagemaker import jobs, tags
from localaws.serving.variant import Variant

NOT_DESCRIBED = ("LastModifiedTime",)
SUMMARY = (
    "TransformJobName",
    "TransformJobArn",
    "CreationTime",
    "TransformEndTime",
    "LastModifiedTime",
    "TransformJobStatus",
    "FailureReason",
)
PAYLOAD_LIMIT_MB = 100  # of all that one instance is sent at the same time


def create_transform_job(cloud: Cloud, request: Request) -> Response:
    """CreateTransformJob."""
    for problem in _problems(request):
        raise AwsError("ValidationException", problem)
    name, moment = request["TransformJobName"], now()
    model = {"VariantName": name, "ModelName": request["ModelName"]}
    variant = Variant.of(cloud, model | {"InstanceType": request["TransformResources"]["InstanceType"]}, None)
    arn = cloud.arn("sagemaker", f"transform-job/{name}")
    document = {key: value for key, value in request.items() if key != "Tags"}
    document |= {
        "TransformJobArn": arn,
        "TransformJobStatus": "InProgress",
        "CreationTime": moment,
        "LastModifiedTime": moment,
    }
    if not cloud.store.add(KIND, name, document):
        raise jobs.taken(arn)
    tags.replace(cloud, arn, request.get("Tags", ()))
    live.start(cloud, KIND, name, TransformJob(cloud, name, variant))
    return {"TransformJobArn": arn}


def describe_transform_job(cloud: Cloud, request: Request) -> Response:
    """DescribeTransformJob."""
    document = jobs.find(cloud, KIND, request["TransformJobName"])
    return {key: value for key, value in document.items() if key not in NOT_DESCRIBED}


def stop_transform_job(cloud: Cloud, request: Request) -> Response:
    """StopTransformJob: at once; the results of the objects that were done by then stay."""
    name = request["TransformJobName"]
    jobs.find(cloud, KIND, name)
    jobs.stop(cloud, KIND, TITLE, name)
    return {}


def list_transform_jobs(cloud: Cloud, request: Request) -> Response:
    """ListTransformJobs."""
    return jobs.jobs_listing(
        cloud.store.all(KIND),
        request,
        into="TransformJobSummaries",
        title=TITLE,
        members=SUMMARY,
        order="Descending",
    )


def recover(cloud: Cloud) -> None:
    """Fail the jobs that an earlier server left unfinished."""
    jobs.recover(cloud, KIND, TITLE)


def shutdown(cloud: Cloud) -> None:
    """Kill every job; the next `recover` says so."""
    live.shutdown(cloud, KIND)


def _problems(request: Request) -> Iterator[str]:
    given, processing = request["TransformInput"], request.get("DataProcessing", {})
    source = given["DataSource"].get("S3DataSource", {})
    if source.get("S3DataType") not in ("S3Prefix", "ManifestFile"):
        yield "TransformInput.DataSource needs an S3DataSource of the S3DataType S3Prefix or ManifestFile."
    if given.get("SplitType", "None") not in ("None", "Line"):
        yield f"The local AWS has no SplitType {given['SplitType']}; use None or Line."
    if request.get("BatchStrategy") == "MultiRecord" and given.get("SplitType", "None") == "None":
        yield "BatchStrategy MultiRecord needs a TransformInput.SplitType other than None."
    filters = (processing.get("InputFilter", "$"), processing.get("OutputFilter", "$"))
    if filters != ("$", "$") or processing.get("JoinSource", "None") != "None":
        yield "The local AWS has no DataProcessing; leave its filters at $ and JoinSource at None."
    payload = request.get("MaxPayloadInMB", PAYLOAD_MB) * (request.get("MaxConcurrentTransforms") or 1)
    if payload > PAYLOAD_LIMIT_MB:
        yield f"MaxConcurrentTransforms * MaxPayloadInMB must not exceed {PAYLOAD_LIMIT_MB} MB, and is {payload} MB."


OPERATIONS: dict[str, Handler] = {
    "CreateTransformJob": create_transform_job,
    "DescribeTransformJob": describe_transform_job,
    "StopTransformJob": stop_transform_job,
    "ListTransformJobs": list_transform_jobs,
}
SIMPLIFIED = {
    "CreateTransformJob": (
        "SplitType is None or Line, DataProcessing is refused, and DataCaptureConfig is recorded and not acted on. An "
        "object is transformed by one instance, its requests one after the other; MaxConcurrentTransforms is how many "
        "objects an instance has at the same time."
    ),
}
