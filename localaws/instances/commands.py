"""One command on one instance, as the agent on it runs AWS-RunShellScript."""

import logging
import os
import shutil
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.cloud import Cloud, Credentials
from localaws.instances import machine
from localaws.jobs.clients import client
from localaws.jobs.logs import LogStream
from localaws.jobs.process import Process
from localaws.jobs.workspace import Workspace
from localaws.store import Document

COMMANDS = "ssm-command"  # kinds in the store
INVOCATIONS = "ssm-invocation"
FINAL = ("Success", "Failed", "TimedOut", "Cancelled")
PLUGIN = "aws:runShellScript"
FOLDER = "awsrunShellScript/0.awsrunShellScript"  # where the agent keeps a plugin's files, here and in S3
STREAMS = {"stdout": ("StandardOutput", 24_000), "stderr": ("StandardError", 8_000)}
WORKERS = 5  # commands that an agent runs at a time (its CommandWorkersLimit); further ones wait
KILLED = 137  # the agent's exit code of what it has stopped
GONE = "the instance was stopped or terminated"
RESTARTED = "the local AWS was restarted while the command ran"
_JOIN_SECONDS = 10

log = logging.getLogger(__name__)

_agents = threading.Condition()
_busy: Counter[tuple[Path, str]] = Counter()  # commands at work, by instance
_invocations: dict[tuple[Path, str], "Invocation"] = {}  # those not ended, by name


def name(command_id: str, instance_id: str) -> str:
    """The name of an invocation's record."""
    return f"{command_id}/{instance_id}"


class Invocation:
    """A command that an instance was sent. It runs in a thread of its own."""

    def __init__(self, cloud: Cloud, command: Document, instance_id: str) -> None:
        self.instance_id = instance_id
        self.finished = threading.Event()
        self._cloud = cloud
        self._command = command
        self._agent = (cloud.home, instance_id)
        self._name = name(command["CommandId"], instance_id)
        self._end: tuple[str, str] | None = None  # status and reason, when somebody ends it; ("", "") leaves it open
        self._process: Process | None = None

    def start(self) -> None:
        """Deliver it."""
        _invocations[self._cloud.home, self._name] = self
        threading.Thread(target=self._work, name=f"command {self._name}", daemon=True).start()

    def end(self, status: str, reason: str = "") -> None:
        """End it with a status, FINAL but not Success; "" leaves the record to the next `recover`."""
        with _agents:
            self._end = self._end or (status, reason)
            process = self._process
            _agents.notify_all()
        if process:
            process.kill()

    def _work(self) -> None:
        try:
            self._deliver()
        except Exception as error:
            if self._end != ("", ""):  # else the server and its store are gone
                log.exception("command %s", self._name)
                self._record("Failed", error=f"InternalServerError: {error!r}")
        finally:
            del _invocations[self._cloud.home, self._name]
            self.finished.set()

    def _deliver(self) -> None:
        with _agents:
            patience = self._command["TimeoutSeconds"]
            if not _agents.wait_for(lambda: self._end or _busy[self._agent] < WORKERS, patience):
                self._record("TimedOut", details="DeliveryTimedOut")
                return
            _busy[self._agent] += 1
        try:
            if self._end:
                self._record_end()
            else:
                self._run()
        finally:
            with _agents:
                _busy[self._agent] -= 1
                _agents.notify_all()

    def _run(self) -> None:
        try:
            keys = machine.credentials(self._cloud, self.instance_id)
        except (ClientError, LookupError) as error:
            self._record("Failed", error=f"the instance has no keys of its role: {error}")
            return
        began, start = _text(datetime.now(UTC)), time.monotonic()
        self._cloud.store.update(
            INVOCATIONS,
            self._name,
            Status="InProgress",
            StatusDetails="InProgress",
            ExecutionStartDateTime=began,
        )
        place = machine.directory(self._cloud, self.instance_id) / "ssm" / self._command["CommandId"] / FOLDER
        try:
            status, code = self._execute(place, keys)
            took = time.monotonic() - start
            members = {"ExecutionElapsedTime": f"PT{took:.3f}S", "ExecutionEndDateTime": _text(datetime.now(UTC))}
            if status not in ("Success", ""):
                with (place / "stderr").open("a") as stderr:
                    stderr.write(f"failed to run commands: {_reason(self._end, status, code)}\n")
            for stream, (member, length) in STREAMS.items():
                with (place / stream).open(errors="replace", newline="") as text:
                    members[f"{member}Content"] = text.read(length)
            self._upload(place, keys)
            self._record(status, code=code, **members)
        finally:
            shutil.rmtree(place.parents[1], ignore_errors=True)

    def _execute(self, place: Path, keys: Credentials) -> tuple[str, int]:
        """Run the script; its output is in `place` afterwards. Returns the status and the exit code."""
        parameters = self._command["Parameters"]
        place.mkdir(parents=True)
        script = place / "_script.sh"
        workspace = machine.workspace(self._cloud, self.instance_id)
        script.write_text(workspace.seen("\n".join(parameters["commands"])) + "\n")
        script.chmod(0o700)
        deadline = time.monotonic() + float(parameters["executionTimeout"][0])
        try:
            process, readers = self._launch(workspace, script, keys)
        except OSError as error:
            (place / "stdout").touch()
            if self._end:
                (place / "stderr").touch()
                return self._end[0], KILLED
            (place / "stderr").write_text(f"the command could not be started: {error}\n")
            return "Failed", 1
        # As on an instance, the command goes on for as long as somebody holds its output open.
        code = process.wait(max(0.0, deadline - time.monotonic()), bury=False)
        for reader in readers:
            reader.join(max(0.0, deadline - time.monotonic()))
        overtime = code is None or any(reader.is_alive() for reader in readers)
        if overtime or self._end or not process.left_behind():
            process.kill()
        else:
            machine.leave_running(self._cloud, self.instance_id, process)
        for reader in readers:
            reader.join(_JOIN_SECONDS)
        if self._end:
            return self._end[0], KILLED
        if overtime:
            return "TimedOut", KILLED
        code = code or 0
        return ("Failed" if code else "Success"), code if code >= 0 else 128 - code

    def _launch(self, workspace: Workspace, script: Path, keys: Credentials) -> tuple[Process, list[threading.Thread]]:
        variables = machine.environment(self._cloud, self.instance_id, keys)
        home = self._command["Parameters"].get("workingDirectory", [""])[0] or str(workspace.directory / "home")
        errors, stderr = os.pipe()
        try:
            with _agents:
                if self._end:
                    raise InterruptedError("it was cancelled")
                process = Process.start(workspace, ["sh", "-c", str(script)], variables, home, stderr)
                self._process = process
        except OSError:
            os.close(errors)
            raise
        finally:
            os.close(stderr)
        outputs = {"stdout": process.output, "stderr": os.fdopen(errors, "rb", buffering=0)}
        readers = [
            threading.Thread(target=self._keep, args=(output, script.parent / stream, stream, keys), daemon=True)
            for stream, output in outputs.items()
        ]
        for reader in readers:
            reader.start()
        return process, readers

    def _keep(self, output: IO[bytes], file: Path, stream: str, keys: Credentials) -> None:
        """Write an output to its file, and to CloudWatch as it comes when that was asked for."""
        follower = self._follower(stream, keys)
        with output, file.open("wb") as kept:
            while chunk := output.read(65536):
                kept.write(chunk)
                if follower:
                    follower[0].write(chunk)
        if follower:
            follower[0].close()
            follower[1].join()

    def _follower(self, stream: str, keys: Credentials) -> tuple[IO[bytes], threading.Thread] | None:
        config = self._command.get("CloudWatchOutputConfig", {})
        if not config.get("CloudWatchOutputEnabled"):
            return None
        group = config.get("CloudWatchLogGroupName") or f"/aws/ssm/{self._command['DocumentName']}"
        logs = client(self._cloud, "logs", keys)
        log_stream = LogStream(self._cloud, group, f"{self._name}/aws-runShellScript/{stream}", logs=logs)
        source, sink = os.pipe()
        thread = threading.Thread(target=log_stream.follow, args=(os.fdopen(source, "rb", buffering=0),), daemon=True)
        thread.start()
        return os.fdopen(sink, "wb", buffering=0), thread

    def _upload(self, place: Path, keys: Credentials) -> None:
        """Put the whole output in the bucket that was named. As on AWS, the command goes on without when it cannot."""
        bucket = self._command.get("OutputS3BucketName")
        if not bucket:
            return
        s3 = client(self._cloud, "s3", keys)
        for stream in STREAMS:
            if (place / stream).stat().st_size:
                try:
                    s3.upload_file(str(place / stream), bucket, output_key(self._command, self.instance_id, stream))
                except (BotoCoreError, ClientError, OSError, shutil.Error) as error:
                    log.info("%s of command %s was not stored: %s", stream, self._name, error)

    def _record_end(self) -> None:
        if self._end and self._end[0]:
            self._record(self._end[0], error=self._end[1])

    def _record(self, status: str, *, details: str = "", code: int = -1, error: str = "", **members: Any) -> None:
        if not status:
            return
        if error:
            members["StandardErrorContent"] = f"failed to run commands: {error}\n"
        details = details or ("ExecutionTimedOut" if status == "TimedOut" else status)
        self._cloud.store.update(
            INVOCATIONS, self._name, **members, Status=status, StatusDetails=details, ResponseCode=code
        )


def output_key(command: Document, instance_id: str, stream: str) -> str:
    """The key of an invocation's output in the bucket."""
    prefix = command["OutputS3KeyPrefix"].strip("/")
    return f"{prefix}/{name(command['CommandId'], instance_id)}/{FOLDER}/{stream}".lstrip("/")


def find(cloud: Cloud, command_id: str, instance_id: str) -> Invocation | None:
    """The invocation, if it has not ended."""
    return _invocations.get((cloud.home, name(command_id, instance_id)))


def end_on(cloud: Cloud, instance_id: str) -> None:
    """Fail all that an instance has not done yet, and wait until it is over."""
    _end([found for found in _here(cloud) if found.instance_id == instance_id], "Failed", GONE)


def shutdown(cloud: Cloud) -> None:
    """Kill all commands; the next `recover` says so."""
    _end(_here(cloud), "", "")


def recover(cloud: Cloud) -> None:
    """Fail the commands that an earlier server left unfinished."""
    for document in cloud.store.all(INVOCATIONS):
        key = name(document["CommandId"], document["InstanceId"])
        if document["Status"] not in FINAL and (cloud.home, key) not in _invocations:
            words = f"failed to run commands: {RESTARTED}\n"
            cloud.store.update(
                INVOCATIONS,
                key,
                Status="Failed",
                StatusDetails="Failed",
                ResponseCode=KILLED,
                StandardErrorContent=words,
            )


def _here(cloud: Cloud) -> list[Invocation]:
    return [invocation for (home, _), invocation in list(_invocations.items()) if home == cloud.home]


def _end(invocations: list[Invocation], status: str, reason: str) -> None:
    for invocation in invocations:
        invocation.end(status, reason)
    for invocation in invocations:
        invocation.finished.wait(_JOIN_SECONDS)


def _reason(end: tuple[str, str] | None, status: str, code: int) -> str:
    if end and end[1]:
        return end[1]
    return f"exit status {code}" if status == "Failed" else "signal: killed"


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
