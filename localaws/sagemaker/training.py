"""Training jobs. Each runs as processes of this machine, see localaws.jobs.training."""

from typing import Any

from localaws.cloud import Cloud, Handler, Request, Response
from localaws.errors import AwsError
from localaws.jobs import live, spot, training
from localaws.jobs.metrics import check_definitions
from localaws.jobs.workspace import ROOT, is_inside
from localaws.sagemaker import jobs, tags
from localaws.store import Document

# What the record holds beyond what DescribeTrainingJob answers.
NOT_DESCRIBED = ("TunedHyperParameters",)
SUMMARY = (
    "TrainingJobName",
    "TrainingJobArn",
    "CreationTime",
    "TrainingEndTime",
    "LastModifiedTime",
    "TrainingJobStatus",
    "SecondaryStatus",
)
DATA_TYPES = ("S3Prefix", "ManifestFile", "AugmentedManifestFile")


def find(cloud: Cloud, name: str) -> Document:
    """A job's record. ValidationException when there is none."""
    document = cloud.store.get(training.KIND, name)
    if document is None:
        raise AwsError("ValidationException", "Requested resource not found.")
    return document


def check(definition: Request) -> None:
    """ValidationException for what the local AWS cannot do, or SageMaker would refuse, in a job's definition."""
    specification = definition.get("AlgorithmSpecification", {})
    check_definitions(specification.get("MetricDefinitions", ()))
    if "TrainingImage" not in specification:
        raise AwsError("ValidationException", "AlgorithmSpecification must name a TrainingImage.")
    channels = definition.get("InputDataConfig", ())
    names = [channel["ChannelName"] for channel in channels]
    if len(set(names)) < len(names):
        raise AwsError("ValidationException", f"Channel names must be unique: {', '.join(names)}.")
    for channel in channels:
        _check_channel(channel, specification["TrainingInputMode"])
    if problem := spot.problem(definition):
        raise AwsError("ValidationException", problem)
    place = definition.get("CheckpointConfig", {}).get("LocalPath", ROOT)
    if not is_inside(place):
        raise AwsError("ValidationException", f"CheckpointConfig.LocalPath {place} must be under {ROOT}.")
    if "InstanceType" not in definition.get("ResourceConfig", {}):
        raise AwsError(
            "ValidationException", "The local AWS needs ResourceConfig.InstanceType; it has no InstanceGroups."
        )


def described(document: Document) -> Response:
    """What DescribeTrainingJob answers."""
    return {key: value for key, value in document.items() if key not in NOT_DESCRIBED}


def create_training_job(cloud: Cloud, request: Request) -> Response:
    """CreateTrainingJob."""
    check(request)
    credentials = jobs.role_credentials(cloud, request["RoleArn"], request["TrainingJobName"])
    document, _ = training.start(cloud, request, credentials)
    tags.replace(cloud, document["TrainingJobArn"], request.get("Tags", ()))
    return {"TrainingJobArn": document["TrainingJobArn"]}


def describe_training_job(cloud: Cloud, request: Request) -> Response:
    """DescribeTrainingJob."""
    return described(find(cloud, request["TrainingJobName"]))


def stop_training_job(cloud: Cloud, request: Request) -> Response:
    """StopTrainingJob: SIGTERM, SIGKILL after 120 s; what the job has in /opt/ml/model by then is kept."""
    name = request["TrainingJobName"]
    find(cloud, name)
    if not training.stop(cloud, name):
        status = find(cloud, name)["TrainingJobStatus"]
        raise AwsError(
            "ValidationException", f"The request was rejected because the training job is in status {status}."
        )
    return {}


def list_training_jobs(cloud: Cloud, request: Request) -> Response:
    """ListTrainingJobs."""
    if "WarmPoolStatusEquals" in request or "TrainingPlanArnEquals" in request:
        return {"TrainingJobSummaries": []}
    return jobs.jobs_listing(
        cloud.store.all(training.KIND),
        request,
        into="TrainingJobSummaries",
        title=training.TITLE,
        members=SUMMARY,
    )


def recover(cloud: Cloud) -> None:
    """Fail the jobs that an earlier server left unfinished."""
    for document in jobs.unfinished(cloud, training.KIND, training.TITLE):
        reason = {"FailureReason": jobs.INTERRUPTED}
        training.advance(cloud, document["TrainingJobName"], "Failed", "Failed", "Training job failed", **reason)


def shutdown(cloud: Cloud) -> None:
    """Kill every job; the next `recover` says so."""
    live.shutdown(cloud, training.KIND)


def _check_channel(channel: dict[str, Any], default_mode: str) -> None:
    name, source = channel["ChannelName"], channel["DataSource"].get("S3DataSource")
    mode = channel.get("InputMode", default_mode)
    if source is None:
        message = f"Channel {name}: the local AWS reads only S3DataSource."
    elif source["S3DataType"] not in DATA_TYPES:
        message = f"Channel {name}: the local AWS reads {', '.join(DATA_TYPES)}, not {source['S3DataType']}."
    elif name in (".", ".."):
        message = f"Channel {name}: that is no name for its directory."
    elif channel.get("CompressionType", "None") != "None" and mode != "Pipe":
        message = f"Channel {name}: CompressionType {channel['CompressionType']} needs the input mode Pipe."
    elif channel.get("RecordWrapperType", "None") != "None" and mode != "Pipe":
        message = f"Channel {name}: RecordWrapperType {channel['RecordWrapperType']} needs the input mode Pipe."
    else:
        return
    raise AwsError("ValidationException", message)


OPERATIONS: dict[str, Handler] = {
    "CreateTrainingJob": create_training_job,
    "DescribeTrainingJob": describe_training_job,
    "StopTrainingJob": stop_training_job,
    "ListTrainingJobs": list_training_jobs,
}
SIMPLIFIED = {
    "CreateTrainingJob": (
        "Containers are processes of this machine on its own Python, for PyTorch images only; instance types, VPCs and "
        "encryption keys are recorded and not acted on, and neither are the debugger, the profiler, warm pools and "
        "RetryStrategy. FastFile channels are downloaded before the script starts; an augmented manifest, which AWS "
        "takes only with Pipe, may be read in these modes too, as a file with the objects it names beside it. Channels "
        f"are not shuffled. Spot instances cost {spot.PRICE:.0%} and are there at once; they are "
        f"taken back only from a job whose Environment has {spot.AFTER}, once, so many seconds into the training, and "
        f"come back at once or after {spot.FOR} seconds. Of a very long output (20,000 lines) only the beginning is in "
        "the logs, and the last lines of each ten minutes."
    ),
    "ListTrainingJobs": "There are no warm pools and no training plans to filter by.",
}
