"""One training job, from Starting to its end: the channels in, a container per instance, the model out."""

import contextlib
import functools
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws.cloud import Cloud, Credentials, now
from localaws.containers import requirements, training
from localaws.errors import AwsError
from localaws.jobs import hosts, live, s3, spot
from localaws.jobs.clients import client, root_client
from localaws.jobs.environment import container_environment, image_problem
from localaws.jobs.hosts import Host
from localaws.jobs.live import FINAL, REASON_LENGTH, Cause, Container, Ending, JobError, Run
from localaws.jobs.logs import LogStream
from localaws.jobs.metrics import Metrics, OnValue
from localaws.jobs.mirror import Mirror, meanwhile, send_all, send_settled
from localaws.jobs.pipe import Pipe, feeding
from localaws.jobs.workspace import Workspace, beginning, is_inside
from localaws.store import Document

KIND, TITLE = "training-job", "Training"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
NAMESPACE = "/aws/sagemaker/TrainingJobs"  # of its metrics in CloudWatch
RAN = "Training job runtime exceeded MaxRuntimeInSeconds provided"
WAITED = "Training job exceeded MaxWaitTimeInSeconds provided"
_INSTANCE_DIRECTORIES = ("input/config", "input/data", "model", "code", "output/data", "checkpoints")


def advance(cloud: Cloud, name: str, status: str, secondary: str, message: str, **members: Any) -> Document:
    """Take a job to its next state; call it with the run's lock held, or when nothing else writes."""
    document = cloud.store.get(KIND, name) or {}
    transitions: list[dict[str, Any]] = document.get("SecondaryStatusTransitions", [])
    moment = now()
    if transitions:
        transitions[-1].setdefault("EndTime", moment)
    transitions.append({"Status": secondary, "StartTime": moment, "StatusMessage": message})
    if status in FINAL:
        transitions[-1]["EndTime"] = moment
        members["TrainingEndTime"] = moment
        if start := document.get("TrainingStartTime"):
            seconds = max(1, math.ceil(moment - start))
            members["TrainingTimeInSeconds"] = seconds
            members["BillableTimeInSeconds"] = spot.billable_seconds(document, seconds)
    return cloud.store.update(
        KIND,
        name,
        TrainingJobStatus=status,
        SecondaryStatus=secondary,
        SecondaryStatusTransitions=transitions,
        LastModifiedTime=moment,
        **members,
    )


def start(
    cloud: Cloud,
    definition: dict[str, Any],
    credentials: Credentials,
    share: int = 1,
    on_value: OnValue = lambda *_: None,
) -> tuple[Document, live.Run]:
    """Record a job and run it. ResourceInUse when its name is taken."""
    name = definition["TrainingJobName"]
    moment = now()
    output = {"KmsKeyId": "", **definition["OutputDataConfig"]}
    resources = {"InstanceCount": 1, **definition["ResourceConfig"]}
    document = {key: value for key, value in definition.items() if key != "Tags"}
    document |= {
        "TrainingJobArn": cloud.arn("sagemaker", f"training-job/{name}"),
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Starting",
        "SecondaryStatusTransitions": [
            {"Status": "Starting", "StartTime": moment, "StatusMessage": "Starting the training job"}
        ],
        "OutputDataConfig": output,
        "ModelArtifacts": {"S3ModelArtifacts": _artifacts(output, name)},
        "ResourceConfig": resources,
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "StoppingCondition": {"MaxRuntimeInSeconds": spot.MAX_RUNTIME, **definition.get("StoppingCondition", {})},
    }
    profiler = definition.get("ProfilerConfig")
    document["ProfilingStatus"] = "Enabled" if profiler and not profiler.get("DisableProfiler") else "Disabled"
    for flag in ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"):
        document.setdefault(flag, False)
    if not cloud.store.add(KIND, name, document):
        raise AwsError(
            "ResourceInUse",
            "Training job names must be unique within an AWS account and region, and a training job with this name "
            f"already exists ({document['TrainingJobArn']})",
        )
    return document, live.start(cloud, KIND, name, TrainingJob(cloud, name, credentials, share, on_value))


def stop(cloud: Cloud, name: str) -> bool:
    """Ask a job to stop; False when it has ended already."""
    run = live.find(cloud, KIND, name)
    if run is None:
        return False
    with run.lock:
        if run.closed or run.stopping:
            return not run.closed
        advance(cloud, name, "Stopping", "Stopping", "Stopping the training job")
        run.stop()
    return True


class TrainingJob:
    """A job whose record is in the store. `share`: how many such containers the cores are for."""

    def __init__(self, cloud: Cloud, name: str, credentials: Credentials, share: int, on_value: OnValue) -> None:
        self._cloud = cloud
        self._name = name
        self._credentials = credentials
        self._share = share
        self._on_value = on_value

    def run(self, run: Run) -> None:
        """Do the job; its outcome is in its record."""
        document = self._begin(run, "Downloading", "Downloading input data", TrainingStartTime=now())
        if problem := image_problem(document["AlgorithmSpecification"]["TrainingImage"]):
            raise JobError(f"ClientError: {problem}")
        bucket = client(self._cloud, "s3", self._credentials)
        metrics = Metrics(document["AlgorithmSpecification"].get("MetricDefinitions", ()), self._on_value)
        seconds, instances = document["StoppingCondition"]["MaxRuntimeInSeconds"], spot.Spot.of(document)
        attempt = self._attempt(run, bucket, document, metrics, min(seconds, instances.after), instances.deadline)
        if instances.after < seconds and attempt.ending.cause is Cause.OVERTIME and not attempt.waited:
            if not self._interrupt(run, attempt, instances):
                return
            rest = seconds - instances.after
            attempt = self._attempt(run, bucket, document, metrics, rest, instances.deadline)
        self._settle(run, bucket, document, attempt)

    def _attempt(
        self, run: Run, bucket: Any, document: Document, metrics: Metrics, seconds: float, deadline: float
    ) -> "Attempt":
        """Run the containers, with fresh directories, until they end or the time is over."""
        with hosts.reserved(document["ResourceConfig"]["InstanceCount"]) as reserved:
            return self._attempt_on(reserved, run, bucket, document, metrics, seconds, deadline)

    def _attempt_on(
        self,
        reserved: Sequence[Host],
        run: Run,
        bucket: Any,
        document: Document,
        metrics: Metrics,
        seconds: float,
        deadline: float,
    ) -> "Attempt":
        workspaces = hosts.workspaces(reserved, functools.partial(self._cloud.directory, "jobs", KIND, self._name))
        mirrors = _checkpoints(bucket, document, workspaces)
        try:
            pipes = [
                pipe
                for number, workspace in enumerate(workspaces)
                for pipe in _bring_in(bucket, document, workspace, (number, len(reserved)), run)
            ]
            for mirror in mirrors:
                mirror.restore()
        except s3.TransferError as error:
            raise JobError(f"ClientError: Data download failed: {error}") from error
        containers = [
            self._container(bucket, document, workspace, reserved, number, metrics)
            for number, workspace in enumerate(workspaces)
        ]
        dimensions = [{"Name": "TrainingJobName", "Value": self._name}]
        publish = functools.partial(metrics.publish, root_client(self._cloud, "cloudwatch"), NAMESPACE, dimensions)

        def report() -> None:
            publish()
            send_settled(mirrors)

        self._begin(run, "Training", "Training image download completed. Training in progress.")
        left = deadline - now()
        try:
            with meanwhile(report), feeding(pipes):
                ending = run.containers(containers, min(seconds, left))
        except s3.TransferError as error:
            raise JobError(f"ClientError: Data download failed: {error}") from error
        publish()
        self._cloud.store.update(KIND, self._name, FinalMetricDataList=metrics.final())
        return Attempt(workspaces, containers, mirrors, ending, waited=left < seconds)

    def _interrupt(self, run: Run, attempt: "Attempt", instances: spot.Spot) -> bool:
        """The Spot instances are gone; what they left as checkpoints is all that the next ones find.

        False when there are no next ones in time, and the job has ended.
        """
        try:
            send_all(attempt.mirrors)
        except s3.TransferError as error:
            raise JobError(f"ClientError: Checkpoint upload failed: {error}") from error
        self._begin(run, "Interrupted", "Training job interrupted: its Spot instances were taken back")
        left = instances.deadline - now()
        run.pause(min(instances.gone, left))
        if instances.gone > left:
            self._finish(run, "Stopped", "MaxWaitTimeExceeded", WAITED)
            return False
        self._begin(run, "Starting", "Starting the training job on new Spot instances")
        self._begin(run, "Downloading", "Downloading input data")
        return True

    def _begin(self, run: Run, secondary: str, message: str, **members: Any) -> Document:
        with run.lock:
            run.check()
            return advance(self._cloud, self._name, "InProgress", secondary, message, **members)

    def _finish(self, run: Run, status: str, secondary: str, message: str, **members: Any) -> None:
        with run.lock:
            run.closed = True
            advance(self._cloud, self._name, status, secondary, message, **members)

    def failed(self, run: Run, reason: str) -> None:
        """Record that the job failed."""
        self._finish(run, "Failed", "Failed", "Training job failed", FailureReason=reason)

    def stopped(self, run: Run) -> None:
        """Record that the job was stopped before its containers ran."""
        self._finish(run, "Stopped", "Stopped", "Training job stopped")

    def _container(
        self,
        bucket: Any,
        document: Document,
        workspace: Workspace,
        reserved: Sequence[Host],
        number: int,
        metrics: Metrics,
    ) -> Container:
        host = training.Host(
            self._name,
            document["TrainingJobArn"],
            self._cloud.region,
            training.decoded(document.get("HyperParameters", {})),
            training.resource_config(
                [host.seen for host in reserved], reserved[number].seen, document["ResourceConfig"]["InstanceType"]
            ),
            training.input_data_config(
                document.get("InputDataConfig", ()), document["AlgorithmSpecification"]["TrainingInputMode"]
            ),
        )
        _write_configuration(workspace, document, host)
        environment = container_environment(self._cloud, self._credentials, workspace, self._share * len(reserved))
        environment |= training.container_variables(host)
        specification = document["AlgorithmSpecification"]
        if "ContainerEntrypoint" in specification:
            command = [*specification["ContainerEntrypoint"], *specification.get("ContainerArguments", ())]
            cwd = "/opt/ml"
        else:
            command, cwd = self._script(bucket, workspace, host, environment), "/opt/ml/code"
        environment |= document.get("Environment", {})
        stream = f"{self._name}/{reserved[number].name}-{int(document['CreationTime'])}"
        return Container(
            workspace,
            command,
            {key: workspace.seen(value) for key, value in environment.items()},
            cwd,
            LogStream(self._cloud, LOG_GROUP, stream),
            metrics.read,
        )

    def _script(self, bucket: Any, workspace: Workspace, host: training.Host, environment: dict[str, str]) -> list[str]:
        if "sagemaker_program" not in host.hyperparameters:
            raise JobError(
                "AlgorithmError: The job names no script: give the hyperparameters sagemaker_program and "
                "sagemaker_submit_directory, or AlgorithmSpecification.ContainerEntrypoint"
            )
        code = workspace.real("/opt/ml/code")
        source = str(host.hyperparameters.get("sagemaker_submit_directory", ""))
        try:
            _unpack_source(bucket, source, workspace, code)
        except s3.TransferError as error:
            raise JobError(f"AlgorithmError: sagemaker_submit_directory {source}: {error}") from error
        program = str(host.hyperparameters["sagemaker_program"])
        if not is_inside(f"/opt/ml/code/{program}", "/opt/ml/code") or not (code / program).is_file():
            raise JobError(f"AlgorithmError: The entry point {program} is not in {source}")
        if host.torchrun and not program.endswith(".py"):
            raise JobError(f"AlgorithmError: torchrun starts Python scripts only, and the entry point is {program}")
        environment |= training.user_environment(host)
        return requirements.with_requirements(
            training.user_command(host), code / "requirements.txt", "/opt/ml/code/requirements.txt"
        )

    def _settle(self, run: Run, bucket: Any, document: Document, attempt: "Attempt") -> None:
        """Take out what the containers left, and end the job by how they ended."""
        ending = attempt.ending
        stopping = ending.cause is not Cause.EXIT
        with run.lock:
            status = "Stopping" if stopping or run.stopping else "InProgress"
            advance(self._cloud, self._name, status, "Uploading", "Uploading generated training model")
        if ending.code and not stopping:
            with contextlib.suppress(JobError):  # what made it fail is the better reason
                self._take_out(bucket, document, attempt, with_model=False)
            raise JobError(_failure(attempt.workspaces[ending.host], attempt.containers[ending.host].command, ending))
        self._take_out(bucket, document, attempt, with_model=True)
        if ending.cause is Cause.OVERTIME:
            limit = ("MaxWaitTimeExceeded", WAITED) if attempt.waited else ("MaxRuntimeExceeded", RAN)
            self._finish(run, "Stopped", *limit)
        elif ending.cause is Cause.STOP or run.stopping:
            self._finish(run, "Stopped", "Stopped", "Training job stopped")
        else:
            self._finish(run, "Completed", "Completed", "Training job completed")

    def _take_out(self, bucket: Any, document: Document, attempt: "Attempt", with_model: bool) -> None:
        output = _output(document["OutputDataConfig"], self._name)
        loose = document["OutputDataConfig"].get("CompressionType") == "NONE"
        data = _directories(attempt.workspaces, "/opt/ml/output/data")
        models = _directories(attempt.workspaces, "/opt/ml/model")
        try:
            send_all(attempt.mirrors)
            if any(any(directory.iterdir()) for directory in data):
                _upload(bucket, data, f"{output}/data" if loose else f"{output}/output.tar.gz", loose)
            if with_model:
                _upload(bucket, models, document["ModelArtifacts"]["S3ModelArtifacts"], loose)
        except s3.TransferError as error:
            raise JobError(f"ClientError: Artifact upload failed: {error}") from error


@dataclass(frozen=True)
class Attempt:
    """One time that a job's containers ran: once, or once more when its Spot instances were taken back."""

    workspaces: Sequence[Workspace]
    containers: Sequence[Container]
    mirrors: Sequence[Mirror]
    ending: Ending
    waited: bool  # whether the time that an OVERTIME was over is MaxWaitTimeInSeconds


def _bring_in(bucket: Any, document: Document, workspace: Workspace, shard: tuple[int, int], run: Run) -> list[Pipe]:
    """The channels: what can be downloaded there, and the pipes for the others."""
    for directory in _INSTANCE_DIRECTORIES:
        workspace.real(f"/opt/ml/{directory}").mkdir(parents=True, exist_ok=True)
    pipes = []
    for channel in document.get("InputDataConfig", ()):
        target = workspace.real(f"/opt/ml/input/data/{channel['ChannelName']}")
        if channel.get("InputMode", document["AlgorithmSpecification"]["TrainingInputMode"]) == "Pipe":
            pipes.append(Pipe(bucket, channel, target, shard))
        else:
            s3.download(bucket, channel["DataSource"]["S3DataSource"], target, shard, run.check)
    return pipes


def _checkpoints(bucket: Any, document: Document, workspaces: Sequence[Workspace]) -> list[Mirror]:
    config = document.get("CheckpointConfig")
    if not config:
        return []
    place = config.get("LocalPath", "/opt/ml/checkpoints")
    return [Mirror(bucket, workspace.real(place), config["S3Uri"]) for workspace in workspaces]


def _output(config: Mapping[str, str], name: str) -> str:
    return f"{config['S3OutputPath'].rstrip('/')}/{name}/output"


def _artifacts(config: Mapping[str, str], name: str) -> str:
    """Where the model of a job is going to be."""
    return f"{_output(config, name)}/{'model/' if config.get('CompressionType') == 'NONE' else 'model.tar.gz'}"


def _write_configuration(workspace: Workspace, document: Document, host: training.Host) -> None:
    files: dict[str, Mapping[str, Any]] = {
        "hyperparameters": document.get("HyperParameters", {}),
        "inputdataconfig": host.input_data_config,
        "resourceconfig": host.resource_config,
    }
    for name, content in files.items():
        workspace.real(f"/opt/ml/input/config/{name}.json").write_text(json.dumps(content))


def _unpack_source(bucket: Any, source: str, workspace: Workspace, code: Path) -> None:
    if source.startswith("s3://"):
        archive = workspace.directory / "sourcedir.tar.gz"
        s3.download_file(bucket, source, archive)
        s3.unpack_tar(archive, code)
    elif is_inside(source):
        place = workspace.real(source)
        if place.is_dir():
            shutil.copytree(place, code, dirs_exist_ok=True)
        else:
            s3.unpack_tar(place, code)
    else:
        raise s3.TransferError("must be s3://bucket/.../sourcedir.tar.gz, or a path under /opt/ml")


def _directories(workspaces: Sequence[Workspace], path: str) -> list[Path]:
    """The containers' directories of that path, as far as their scripts left them there."""
    return [place for workspace in workspaces if (place := workspace.real(path)).is_dir()]


def _upload(bucket: Any, directories: Sequence[Path], uri: str, loose: bool) -> None:
    if not loose:
        return s3.upload_tar(bucket, directories, uri)
    for directory in directories:
        s3.upload_directory(bucket, directory, uri)
    return None


def _failure(workspace: Workspace, command: Sequence[str], ending: Ending) -> str:
    """The container's own word (/opt/ml/output/failure) or the last error line, in SageMaker's frame."""
    file = workspace.real("/opt/ml/output/failure")
    if text := beginning(file, REASON_LENGTH - 100).strip():
        return f"AlgorithmError: {text}, exit code: {ending.code}"
    words, shown = ending.last_words[:500], " ".join(command)[-300:]
    return (
        f'AlgorithmError: ExecuteUserScriptError:\nExitCode {ending.code}\nErrorMessage "{words}"\n'
        f'Command "{shown}", exit code: {ending.code}'
    )
