"""Airflow in single processes, each of which can be killed and started again, on a local AWS that can be too."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from kennel.config import ROOT
from kennel.local import account, airflow, aws, datasets, ports, processes
from kennel.local.api import Airflow
from kennel.local.state import Home
from kennel.names import POOL
from tests.operations.faults import Proxy
from tests.stores import eventually

# What is lost is found within seconds, where Airflow's own settings take minutes.
IMPATIENT = {
    "SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "3",
    "TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
}


class Machine:
    """One `.kennel/` with its local AWS, and Airflow's parts around it."""

    def __init__(self, home: Path, backend: dict[str, str], parts: tuple[str, ...], dags: Path) -> None:
        self.home = Home(home)
        self.backend = backend
        self.parts = parts
        self.dags = dags
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = dict(zip(("http", "worker_log", "trigger_log"), ports.free(3), strict=True))
        self.environment: dict[str, str] = {}

    @contextlib.contextmanager
    def up(self) -> Iterator["Machine"]:
        """Everything started and ready; all of it is gone at the end."""
        self.aws = aws.start(self.home)
        try:
            aws.wait(self.aws)
            account.prepare(self.aws)
            with Proxy(self.aws.url).running() as self.proxy:
                self._start_airflow()
                yield self
                self._stop_airflow()
        finally:
            self._stop_airflow()
            processes.stop(self.home.services()["localaws"])

    def _start_airflow(self) -> None:
        airflow.keep_passwords(self.home)
        own = {**airflow.settings(self.home, self.ports), **IMPATIENT, **self.backend}
        own |= {"CORE__DAGS_FOLDER": str(self.dags), "API_AUTH__JWT_SECRET": secrets.token_urlsafe(32)}
        self.environment = {
            **airflow.environment(self.home, self.aws, self.ports),
            **{f"AIRFLOW__{name}": value for name, value in own.items()},
            "AWS_ENDPOINT_URL": self.proxy.url,
            "KENNEL_ALLOWED_HOSTS": self.proxy.url.removeprefix("http://"),
            "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT}",
        }
        self.home.airflow.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        with self.home.log("migrate").open("ab") as log:
            subprocess.run(command, env=self.environment, check=True, stdout=log, stderr=log, cwd=self.home.airflow)
        for part in self.parts:
            self.start(part)
        self.api = Airflow(airflow.url(self.ports["http"]), airflow.password(self.home))
        eventually(self.api.healthy, 180, self.logs)
        self.api.set_pool(POOL, 8)

    def _stop_airflow(self) -> None:
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                process.wait(timeout=10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.running.clear()
        # what Airflow put into sessions of its own
        for left in psutil.process_iter(["environ"]):
            if (left.info["environ"] or {}).get("AIRFLOW_HOME") == str(self.home.airflow):
                with contextlib.suppress(psutil.NoSuchProcess):
                    left.kill()

    def start(self, part: str) -> None:
        """Start a part of Airflow."""
        command = [sys.executable, "-m", "airflow", *part.split()]
        with self.home.log(part.replace(" ", "-")).open("ab") as log:
            self.running[part] = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home.airflow,
                start_new_session=True,
            )

    def kill(self, part: str) -> None:
        """kill -9 one part of Airflow, or `local AWS`, and start it again."""
        if part == "local AWS":
            self._kill_aws()
            return
        os.kill(self.running[part].pid, signal.SIGKILL)
        self.running[part].wait()
        self.start(part)

    def _kill_aws(self) -> None:
        """It comes back as it was, on the same port."""
        service = self.home.services()["localaws"]
        killed = psutil.Process(service.pid)
        command, environment = killed.cmdline(), killed.environ()
        killed.kill()
        eventually(lambda: not processes.running(service))
        log = self.home.log("localaws")
        again = processes.start(command, env=environment, log=log, cwd=self.home.localaws, ports=service.ports)
        self.home.record("localaws", again)
        aws.wait(self.aws)

    def push(self, photos: Path, day: Any) -> None:
        """Add a directory of photos, dated to a day."""
        prefix = datasets.prefix(self.aws.names.datasets, day)
        checked = datasets.check(photos)
        datasets.push(self.client("s3"), self.aws.names.bucket, prefix, checked, advance=lambda: None)

    def client(self, service: str, **settings: Any) -> Any:
        """A boto3 client as root, past the proxy."""
        return self.aws.client(service, **settings)

    def logs(self) -> str:
        """The end of everything that was printed."""
        files = sorted((self.home.path / "logs").glob("*.log"))
        return "\n".join(f"{file.name}:\n{file.read_text()[-1500:]}" for file in files)
