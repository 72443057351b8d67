"""One processing job: its inputs in, a container per instance, its outputs out."""

import functools
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from localaws.cloud import Cloud, Credentials, now
from localaws.containers.training import resource_config
from localaws.jobs import hosts, s3
from localaws.jobs.clients import client
from localaws.jobs.environment import container_environment, image_problem
from localaws.jobs.hosts import Host
from localaws.jobs.live import Cause, Container, Ending, JobError, Recorded, Run
from localaws.jobs.logs import LogStream
from localaws.jobs.mirror import Mirror, meanwhile, send_all, send_settled
from localaws.jobs.workspace import Workspace, beginning
from localaws.store import Document

KIND, TITLE = "processing-job", "Processing"
LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
_MESSAGE_LENGTH = 1024


class ProcessingJob(Recorded):
    """A job whose record is in the store."""

    kind, title = KIND, TITLE

    def __init__(self, cloud: Cloud, name: str, credentials: Credentials) -> None:
        super().__init__(cloud, name)
        self._credentials = credentials

    def run(self, run: Run) -> None:
        """Do the job; its outcome is in its record."""
        document = self._cloud.store.update(KIND, self._name, ProcessingStartTime=now())
        specification = document["AppSpecification"]
        if problem := image_problem(specification["ImageUri"]):
            raise JobError(f"ClientError: {problem}")
        bucket = client(self._cloud, "s3", self._credentials)
        with hosts.reserved(document["ProcessingResources"]["ClusterConfig"]["InstanceCount"]) as reserved:
            self._run_on(reserved, run, bucket, document)

    def _run_on(self, reserved: Sequence[Host], run: Run, bucket: Any, document: Document) -> None:
        workspaces = hosts.workspaces(reserved, functools.partial(self._cloud.directory, "jobs", KIND, self._name))
        environment = self._cloud.environment(self._credentials)
        with ThreadPoolExecutor(len(reserved)) as pool:
            shards = ((number, len(reserved)) for number in range(len(reserved)))
            bring_in = functools.partial(_bring_in, bucket, document, run, environment)
            list(pool.map(bring_in, workspaces, shards))
        containers = [
            self._container(document, workspace, reserved, host)
            for workspace, host in zip(workspaces, reserved, strict=True)
        ]
        run.check()
        mirrors = _mirrors(bucket, document, workspaces)
        with meanwhile(lambda: send_settled(mirrors)):
            ending = run.containers(containers, document["StoppingCondition"]["MaxRuntimeInSeconds"])
        try:
            send_all(mirrors)
            if ending.cause is Cause.EXIT and not ending.code and not run.stopping:
                _take_out(bucket, document, workspaces)
        except s3.TransferError as error:
            raise JobError(f"ClientError: Output upload failed: {error}") from error
        message = _exit_message(workspaces[ending.host])
        if ending.cause is Cause.OVERTIME:
            reason = "ClientError: Processing job runtime exceeded MaxRuntimeInSeconds provided"
            self._finish(run, "Stopped", FailureReason=reason, **message)
        elif ending.cause is Cause.STOP or run.stopping:
            self._finish(run, "Stopped", **message)
        elif ending.code:
            self._finish(run, "Failed", FailureReason=_reason(ending), **message)
        else:
            self._finish(run, "Completed", **message)

    def _container(self, document: Document, workspace: Workspace, reserved: Sequence[Host], host: Host) -> Container:
        cluster = document["ProcessingResources"]["ClusterConfig"]
        files = {
            "processingjobconfig": document,
            "resourceconfig": resource_config([one.seen for one in reserved], host.seen, cluster["InstanceType"]),
        }
        workspace.real("/opt/ml/config").mkdir()
        for name, content in files.items():
            workspace.real(f"/opt/ml/config/{name}.json").write_text(json.dumps(content))
        workspace.real("/opt/ml/output").mkdir(exist_ok=True)
        specification = document["AppSpecification"]
        environment = {
            **container_environment(self._cloud, self._credentials, workspace, len(reserved)),
            "PROCESSING_JOB_NAME": self._name,
            "PROCESSING_JOB_ARN": document["ProcessingJobArn"],
            **document.get("Environment", {}),
        }
        return Container(
            workspace,
            [*specification["ContainerEntrypoint"], *specification.get("ContainerArguments", ())],
            {key: workspace.seen(value) for key, value in environment.items()},
            "/opt/ml",
            LogStream(self._cloud, LOG_GROUP, f"{self._name}/{host.name}-{int(document['CreationTime'])}"),
        )


def _bring_in(
    bucket: Any,
    document: Document,
    run: Run,
    environment: Mapping[str, str],
    workspace: Workspace,
    shard: tuple[int, int],
) -> None:
    for given in document.get("ProcessingInputs", ()):
        source = given["S3Input"]
        target = workspace.real(source["LocalPath"])
        try:
            s3.download(bucket, source, target, shard, run.check, environment)
        except s3.TransferError as error:
            raise JobError(f"ClientError: Input {given['InputName']}: download failed: {error}") from error
    for output in _outputs(document):
        workspace.real(output["LocalPath"]).mkdir(parents=True, exist_ok=True)


def _mirrors(bucket: Any, document: Document, workspaces: Sequence[Workspace]) -> list[Mirror]:
    """The outputs that are stored while the job runs."""
    continuous = [output for output in _outputs(document) if output.get("S3UploadMode") == "Continuous"]
    return [
        Mirror(bucket, workspace.real(output["LocalPath"]), output["S3Uri"])
        for output in continuous
        for workspace in workspaces
    ]


def _take_out(bucket: Any, document: Document, workspaces: Sequence[Workspace]) -> None:
    for output in _outputs(document):
        if output.get("S3UploadMode") != "Continuous":
            for workspace in workspaces:
                s3.upload_directory(bucket, workspace.real(output["LocalPath"]), output["S3Uri"])


def _outputs(document: Document) -> list[dict[str, str]]:
    return [output["S3Output"] for output in document.get("ProcessingOutputConfig", {}).get("Outputs", ())]


def _exit_message(workspace: Workspace) -> dict[str, str]:
    """What the container wrote to /opt/ml/output/message, as SageMaker's ExitMessage."""
    text = beginning(workspace.real("/opt/ml/output/message"), _MESSAGE_LENGTH)
    return {"ExitMessage": text} if text else {}


def _reason(ending: Ending) -> str:
    return f"AlgorithmError: {ending.last_words[:900] or 'See job logs for more information'}, exit code: {ending.code}"
