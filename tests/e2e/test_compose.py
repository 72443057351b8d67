"""Each service's command of docker-compose.yaml under its environment, with this machine's PostgreSQL and Redis."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.compose import ROOT, environment, generated, interpolated, load
from tests.stores import INITDB, REDIS, eventually, free_port, postgres

PORTS = ("api", "aws", "health", "postgres", "redis", "trigger_log", "worker_log")
SERVICES = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def hello():
    @task
    def say():
        return "hello"

    say()

hello()
"""


class Machine:
    """A directory and free ports that stand for the containers', and the processes started in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.variables = generated(home)
        self.services: dict[str, Any] = load()["services"]
        self.port = {name: free_port() for name in PORTS}
        self.running: list[subprocess.Popen[bytes]] = []

    def here(self, text: str) -> str:
        """Text of a container as it is right on this machine."""
        for there, here in {
            "/opt/kennel/.kennel": str(self.home / "kennel"),
            "/opt/kennel": str(ROOT),
            "/opt/airflow": str(self.home / "airflow"),
            "@postgres/": f"@127.0.0.1:{self.port['postgres']}/",
            "@redis:6379": f"@127.0.0.1:{self.port['redis']}",
            "//api-server:8080": f"//127.0.0.1:{self.port['api']}",
            "localhost:8080": f"127.0.0.1:{self.port['api']}",
            "localhost:8974": f"127.0.0.1:{self.port['health']}",
            "4566": str(self.port["aws"]),
        }.items():
            text = text.replace(there, here)
        return text

    def environment(self, service: str) -> dict[str, str]:
        """A service's environment, the image's part of it included."""
        seen = environment(self.services[service], self.variables)
        return {name: self.here(value) for name, value in seen.items()} | {
            "AIRFLOW_HOME": str(self.home / "airflow"),
            "AIRFLOW__API__PORT": str(self.port["api"]),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(self.port["trigger_log"]),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self.port["worker_log"]),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(self.port["health"]),
            "HOME": str(self.home),
            "HOSTNAME": socket.gethostname(),
            "KENNEL_HOME": str(self.home / "kennel"),
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT}",
        }

    def words(self, command: list[str]) -> list[str]:
        """A command of the file as it is run here."""
        return [self.here(interpolated(word, self.variables)) for word in command]

    def command(self, service: str) -> list[str]:
        """A service's command."""
        return self.words(self.services[service]["command"])

    def healthy(self, service: str) -> bool:
        """Whether a service's own health check passes."""
        kind, *words = self.words(self.services[service]["healthcheck"]["test"])
        command = words if kind == "CMD" else ["sh", "-c", *words]
        with (self.home / f"{service}-health.log").open("wb") as log:
            return subprocess.run(command, env=self.environment(service), stdout=log, stderr=log).returncode == 0

    def start(self, name: str, command: list[str], **settings: Any) -> None:
        """Start a process in a session of its own; what it prints goes to `<name>.log`."""
        with (self.home / f"{name}.log").open("wb") as log:
            self.running.append(
                subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=ROOT, **settings)
            )

    def logs(self) -> str:
        """The end of what every process printed."""
        return "\n\n".join(f"{log.name}:\n{log.read_text()[-1500:]}" for log in sorted(self.home.glob("*.log")))

    def stop(self) -> None:
        """Stop what was started, all at once."""
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.running.clear()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.stop()


@pytest.fixture
def stores(machine: Machine) -> Iterator[None]:
    """PostgreSQL and Redis with the generated passwords."""
    if not (INITDB and REDIS):
        pytest.skip("PostgreSQL's or Redis's server is not installed")
    options = ["--port", str(machine.port["redis"]), "--bind", "127.0.0.1", "--save", ""]
    machine.start("redis", [*machine.command("redis"), *options])
    with postgres(machine.home, machine.port["postgres"], machine.variables["POSTGRES_PASSWORD"]):
        yield
        machine.stop()


def test_runs_a_task_on_a_worker_with_every_service_healthy(machine: Machine, stores: None) -> None:
    (machine.home / "dags").mkdir()
    (machine.home / "dags" / "hello.py").write_text(DAG)
    subprocess.run(machine.command("init"), env=machine.environment("init"), check=True)
    for service in SERVICES:
        machine.start(service, machine.command(service), env=machine.environment(service))
    eventually(lambda: machine.healthy("api-server"), 180, machine.logs)
    airflow = httpx.Client(base_url=f"http://127.0.0.1:{machine.port['api']}", trust_env=False, timeout=30)
    login = {"username": "admin", "password": machine.variables["AIRFLOW_ADMIN_PASSWORD"]}
    token = airflow.post("/auth/token", json=login).raise_for_status().json()["access_token"]
    airflow.headers["Authorization"] = f"Bearer {token}"
    eventually(lambda: airflow.get("/api/v2/dags/hello").is_success, 180, machine.logs)
    run = airflow.post("/api/v2/dags/hello/dagRuns", json={"logical_date": None}).raise_for_status().json()
    path = f"/api/v2/dags/hello/dagRuns/{run['dag_run_id']}"
    eventually(lambda: airflow.get(path).json()["state"] == "success", 180, machine.logs)
    for service in SERVICES:
        eventually(partial(machine.healthy, service), 60, machine.logs)


def test_local_aws_serves_airflow_with_its_foundation_made(machine: Machine) -> None:
    machine.start("localaws", machine.command("localaws"), env=machine.environment("localaws"))
    eventually(lambda: machine.healthy("localaws"), 60, machine.logs)
    for _ in range(2):  # as a second start of the containers would
        subprocess.run(machine.command("foundation"), env=machine.environment("foundation"), check=True, cwd=ROOT)
    script = "from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook as Hook;"
    script += "print(Hook('aws_default', client_type='sts').get_conn().get_caller_identity()['Arn'])"
    seen = machine.environment("worker") | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{machine.port['aws']}"}
    who = subprocess.check_output([sys.executable, "-c", script], env=seen, text=True)
    assert ":assumed-role/kennel-dogs-airflow/" in who
