"""One instance of a variant: a serving process with its own copy of the model, started again whenever it dies."""

import contextlib
import http.client
import itertools
import logging
import secrets
import shutil
import socket
import threading
import time

from localaws.cloud import Cloud
from localaws.containers import requirements, serving
from localaws.jobs.environment import container_environment
from localaws.jobs.logs import LogStream
from localaws.jobs.process import Process
from localaws.jobs.workspace import Workspace
from localaws.serving.variant import StartError, Variant

STOP_SECONDS = 5.0
LOG_SECONDS = 10.0  # for the last lines of a process that is gone
MAX_BACKOFF_SECONDS = 60.0

log = logging.getLogger(__name__)


class Stopped(Exception):  # noqa: N818  # not an error: somebody asked for it
    """The instance was stopped before it came into service."""


class Instance:
    """`ready` says that it takes requests at `port`; `in_flight` and `served` are the router's count of them."""

    def __init__(self, cloud: Cloud, endpoint: str, variant: Variant, share: int, group: str | None = None) -> None:
        self.ready = False
        self.in_flight = 0
        self.served = 0
        self.port = 0
        self.variant = variant
        self._cloud = cloud
        self._endpoint = endpoint
        self._share = share
        self._group = group or f"/aws/sagemaker/Endpoints/{endpoint}"
        self._id = f"i-{secrets.token_hex(9)[1:]}"
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._reserved = socket.socket()
        self._process: Process | None = None
        self._last_line = "(none)"

    def start(self) -> None:
        """Come into service. StartError when the model does not let it; Stopped when `stop` was called meanwhile."""
        self.variant.check()
        try:
            workspace = Workspace(self._cloud.directory("endpoints", self._endpoint, self._id))
            self._reserve_port()
            credentials = self.variant.credentials(self._cloud, self._id)
            self.variant.unpack(self._cloud, credentials, workspace.real("/opt/ml/model"))
            process = self._run(workspace)
        except (StartError, OSError):
            if self._stopping.is_set():  # its files and its port were taken from under it
                raise Stopped from None
            raise
        threading.Thread(target=self._supervise, args=(workspace, process), name=self._id, daemon=True).start()

    def stop(self) -> None:
        """End the process and remove its files. What it has not answered by then is lost: drain it first."""
        with self._lock:
            self._stopping.set()
            process = self._process
        self.ready = False
        if process:
            process.stop(STOP_SECONDS)
        self._reserved.close()
        shutil.rmtree(self._cloud.home / "endpoints" / self._endpoint / self._id, ignore_errors=True)

    def _reserve_port(self) -> None:
        """Keep a free port from everyone else: an address can be bound twice as long as only one of the two listens."""
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port = self._reserved.getsockname()[1]

    def _run(self, workspace: Workspace) -> Process:
        """Start a process and wait until it answers /ping."""
        environment = {
            **container_environment(
                self._cloud, self.variant.credentials(self._cloud, self._id), workspace, self._share
            ),
            "SAGEMAKER_BASE_DIR": workspace.seen("/opt/ml"),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            **{name: workspace.seen(value) for name, value in self.variant.environment.items()},
        }
        with self._lock:
            if self._stopping.is_set():
                raise Stopped
            process = self._process = Process.start(workspace, self._command(workspace), environment)
        stream = LogStream(self._cloud, self._group, f"{self.variant.name}/{self._id}")
        logs = threading.Thread(target=stream.follow, args=(process.output, self._note), daemon=True)
        logs.start()
        self._await_ping(process, logs)
        self.ready = True
        return process

    def _command(self, workspace: Workspace) -> list[str]:
        """The server, after what `code/requirements.txt` of the model names was installed where it is missing."""
        model = "/opt/ml/model/code/requirements.txt"
        return requirements.with_requirements(["python", "-P", serving.__file__], workspace.real(model), model)

    def _await_ping(self, process: Process, logs: threading.Thread) -> None:
        deadline = time.monotonic() + self.variant.startup_seconds
        while process.wait(0.05) is None:
            if self._ping():
                return
            if time.monotonic() > deadline:
                process.kill()
        if self._stopping.is_set():
            raise Stopped
        logs.join(LOG_SECONDS)
        raise StartError(
            f"The primary container for {self.variant.title} did not pass the ping health check. "
            f"Please check CloudWatch logs for this {self.variant.host}. Their last line: {self._last_line}"
        )

    def _ping(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/ping")
            return connection.getresponse().status == http.HTTPStatus.OK
        return False

    def _supervise(self, workspace: Workspace, process: Process) -> None:
        with contextlib.suppress(Stopped):
            while True:
                process.wait()
                self.ready = False
                process = self._run_again(workspace)

    def _run_again(self, workspace: Workspace) -> Process:
        """Try, ever more slowly, until it comes up. Stopped when it ended because it should."""
        for attempt in itertools.count():
            if self._stopping.wait(min(MAX_BACKOFF_SECONDS, 2.0**attempt - 1)):
                break
            try:
                return self._run(workspace)
            except (StartError, OSError) as error:
                log.warning("%s of endpoint %s did not come up again: %s", self._id, self._endpoint, error)
        raise Stopped

    def _note(self, line: str) -> None:
        self._last_line = line.strip() or self._last_line
