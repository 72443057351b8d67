"""Each service's command of docker-compose.yaml under its environment, with this machine's PostgreSQL and Redis.

As root each runs as confined as its container: what it writes elsewhere than where the file lets it fails.
"""

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

from kennel.local import ports
from tests import people
from tests.compose import ROOT, environment, generated, interpolated, load, volumes
from tests.confinement import PLACE, POSSIBLE, confined
from tests.conftest import LocalAws
from tests.localaws.jobs import Workbench
from tests.stores import INITDB, REDIS, eventually, postgres

PORTS = ("api", "aws", "health", "postgres", "redis", "trigger_log", "worker_log")
DAGS = ("retrain", "teardown")
NEW_YEAR = "2020-01-01T00:00:00Z"
SERVICES = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
DAG = """
from airflow.sdk import dag, task

@dag("{dag_id}", schedule="@yearly", catchup=False)
def hello():
    @task
    def say():
        import tempfile
        from matplotlib.figure import Figure

        with tempfile.TemporaryFile() as file:
            Figure().savefig(file)
        return "hello"

    say()

hello()
"""


class Machine:
    """A directory and free ports that stand for the containers', and the processes started in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.inside = PLACE if POSSIBLE else home  # `home` as the processes see it
        self.variables = generated(home)
        self.services: dict[str, Any] = load()["services"]
        self.port = dict(zip(PORTS, ports.free(len(PORTS)), strict=True))
        self.running: list[subprocess.Popen[bytes]] = []
        for name in ("airflow", "kennel", "redis"):
            (home / name).mkdir()

    def here(self, text: str) -> str:
        """Text of a container as it is right on this machine."""
        for there, here in {
            "/opt/kennel/.kennel": str(self.inside / "kennel"),
            "/opt/kennel": str(ROOT),
            "/opt/airflow": str(self.inside / "airflow"),
            "/data": str(self.inside / "redis"),
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
            "AIRFLOW_HOME": self.here("/opt/airflow"),
            "AIRFLOW__API__PORT": str(self.port["api"]),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.inside / "dags"),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(self.port["trigger_log"]),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self.port["worker_log"]),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(self.port["health"]),
            "HOME": self.here("/opt/airflow"),
            "HOSTNAME": socket.gethostname(),
            "KENNEL_HOME": self.here("/opt/kennel/.kennel"),
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT}",
        }

    def words(self, command: list[str]) -> list[str]:
        """A command of the file as it is run here."""
        return [self.here(interpolated(word, self.variables)) for word in command]

    def confined(self, service: str, command: list[str]) -> list[str]:
        """A command that can do no more than one in the service's container."""
        if not POSSIBLE:
            return command
        mounted = {
            self.here(place): (f"volumes/{source.strip('/')}", writable)
            for place, (source, writable) in volumes(self.services[service]).items()
            if not source.startswith(".")
        }
        for path, _ in mounted.values():
            (self.home / path).mkdir(parents=True, exist_ok=True)
        scratch = [self.here(place) for place in self.services[service].get("tmpfs", ())]
        return confined(command, self.home, mounted, scratch)

    def command(self, service: str, *options: str) -> list[str]:
        """A service's command, as confined as there."""
        return self.confined(service, [*self.words(self.services[service]["command"]), *options])

    def healthy(self, service: str) -> bool:
        """Whether a service's own health check passes."""
        kind, *words = self.words(self.services[service]["healthcheck"]["test"])
        command = words if kind == "CMD" else ["sh", "-c", *words]
        with (self.home / f"{service}-health.log").open("wb") as log:
            confined = self.confined(service, command)
            return subprocess.run(confined, env=self.environment(service), stdout=log, stderr=log).returncode == 0

    def start(self, name: str, command: list[str], **settings: Any) -> None:
        """Start a process in a session of its own; what it prints goes to `<name>.log`."""
        with (self.home / f"{name}.log").open("wb") as log:
            self.running.append(
                subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=ROOT, **settings)
            )

    def logs(self) -> str:
        """The end of what every process printed."""
        return "\n\n".join(f"{log.name}:\n{log.read_text()[-1500:]}" for log in sorted(self.home.glob("*.log")))

    def output(self) -> str:
        """All that every process printed, and what Airflow has written as its logs."""
        logs = [*self.home.glob("*.log"), *(self.home / "volumes").glob("logs/**/*.log")]
        return "\n".join(log.read_text(errors="replace") for log in logs)

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


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """All of Airflow's services, with PostgreSQL and Redis, and with small DAGs in the places of two of ours."""
    if not (INITDB and REDIS):
        pytest.skip("PostgreSQL's or Redis's server is not installed")
    machine = Machine(tmp_path_factory.mktemp("compose"))
    (machine.home / "dags").mkdir()
    for dag_id in DAGS:
        (machine.home / "dags" / f"{dag_id}.py").write_text(DAG.format(dag_id=dag_id))
    with contextlib.ExitStack() as running:
        running.enter_context(postgres(machine.home, machine.port["postgres"], machine.variables["POSTGRES_PASSWORD"]))
        running.callback(machine.stop)
        options = ["--port", str(machine.port["redis"]), "--bind", "127.0.0.1", "--dir", machine.here("/data")]
        machine.start("redis", machine.command("redis", *options))
        again = machine.confined("init", ["python", "-m", "kennel.people"])  # as a second start would
        for command in (machine.command("init"), again):
            subprocess.run(command, env=machine.environment("init"), check=True)
        for service in SERVICES:
            machine.start(service, machine.command(service), env=machine.environment(service))
        eventually(lambda: machine.healthy("api-server"), 180, machine.logs)
        admin = person(machine, "admin")
        known = [f"/api/v2/dags/{dag_id}" for dag_id in DAGS]
        eventually(lambda: all(admin.get(path).is_success for path in known), 180, machine.logs)
        yield machine


def person(machine: Machine, name: str) -> httpx.Client:
    """Airflow with the login of that name."""
    password = machine.variables[f"AIRFLOW_{name.upper()}_PASSWORD"]
    return people.logged_in(f"http://127.0.0.1:{machine.port['api']}", name, password)


def test_runs_a_task_on_a_worker_with_every_service_healthy(airflow: Machine) -> None:
    admin = person(airflow, "admin")
    run = admin.post("/api/v2/dags/teardown/dagRuns", json={"logical_date": None}).raise_for_status().json()
    path = f"/api/v2/dags/teardown/dagRuns/{run['dag_run_id']}"
    eventually(lambda: admin.get(path).json()["state"] == "success", 180, airflow.logs)
    for service in SERVICES:
        eventually(partial(airflow.healthy, service), 60, airflow.logs)
    assert "Read-only file system" not in airflow.output()


def test_nothing_answers_without_a_login(airflow: Machine) -> None:
    anybody = httpx.Client(base_url=f"http://127.0.0.1:{airflow.port['api']}", trust_env=False, timeout=60)
    found = people.answers(anybody, *people.CORE, people.FAB, dag_id="retrain")
    assert {call for call, status in found.items() if status not in people.REFUSED} == people.NOBODY
    for page in ("users", "roles"):
        answer = anybody.get(f"/auth/{page}/list/")
        assert answer.is_redirect and "/auth/login/" in answer.headers["Location"]


def test_a_viewer_changes_nothing(airflow: Machine) -> None:
    places = people.places(person(airflow, "admin"), "retrain", NEW_YEAR)
    found = people.answers(person(airflow, "viewer"), *people.CORE, people.FAB, **places)
    assert people.changes(found) == people.VIEWER
    assert people.closed(found) == people.CLOSED_BY_FAB


def test_a_trigger_starts_retraining_and_has_no_other_right(airflow: Machine) -> None:
    trigger, admin = person(airflow, "trigger"), person(airflow, "admin")
    places = {dag_id: people.places(admin, dag_id, NEW_YEAR) for dag_id in DAGS}
    found = people.answers(trigger, *people.CORE, people.FAB, **places["retrain"])
    assert people.changes(found) == people.TRIGGER
    assert people.closed(found) == people.CLOSED_BY_FAB
    assert people.changes(people.answers(trigger, *people.CORE, **places["teardown"])) == people.VIEWER
    new = {"logical_date": None}
    run = trigger.post("/api/v2/dags/retrain/dagRuns", json=new).raise_for_status().json()
    path = f"/api/v2/dags/retrain/dagRuns/{run['dag_run_id']}"
    eventually(lambda: trigger.get(path).json()["state"] == "success", 180, airflow.logs)
    assert trigger.delete(path).status_code == httpx.codes.FORBIDDEN
    assert trigger.post("/api/v2/dags/teardown/dagRuns", json=new).status_code == httpx.codes.FORBIDDEN


def local_aws(machine: Machine, **environment: str) -> LocalAws:
    """The service localaws, once it is ready."""
    machine.start("localaws", machine.command("localaws"), env=machine.environment("localaws") | environment)
    eventually(lambda: machine.healthy("localaws"), 60, machine.logs)
    home = machine.home / ("volumes/kennel" if POSSIBLE else "kennel") / "localaws"
    return LocalAws(f"http://127.0.0.1:{machine.port['aws']}", home, "us-east-1", "0" * 12, machine.running[-1])


def test_local_aws_serves_airflow_with_its_foundation_made(machine: Machine) -> None:
    url = local_aws(machine).url
    for _ in range(2):  # as a second start of the containers would
        subprocess.run(machine.command("foundation"), env=machine.environment("foundation"), check=True, cwd=ROOT)
    script = "from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook as Hook;"
    script += "print(Hook('aws_default', client_type='sts').get_conn().get_caller_identity()['Arn'])"
    asking = machine.confined("worker", [sys.executable, "-c", script])
    who = subprocess.check_output(asking, env=machine.environment("worker") | {"AWS_ENDPOINT_URL": url}, text=True)
    assert ":assumed-role/kennel-dogs-airflow/" in who
    assert "Read-only file system" not in machine.output()


def test_local_aws_installs_what_a_job_requires_where_it_may_write(machine: Machine) -> None:
    """As in a container, where the job cannot have a file system of its own: unshare is refused there."""
    (machine.home / "bin").mkdir()
    (machine.home / "bin" / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (machine.home / "bin" / "unshare").chmod(0o755)
    path = f"{machine.inside / 'bin'}:{machine.environment('localaws')['PATH']}"
    bench = Workbench(local_aws(machine, PATH=path))
    request = bench.request_of_a_wheel("import dogtools; print('breeds', dogtools.BREEDS)")
    bench.sagemaker.create_training_job(**request)
    job = bench.finished("TrainingJob", request["TrainingJobName"])
    lines = bench.lines("/aws/sagemaker/TrainingJobs", request["TrainingJobName"])
    assert (job["TrainingJobStatus"], lines[-1]) == ("Completed", "breeds 133"), lines
    assert "Read-only file system" not in "".join(lines) + machine.output()
