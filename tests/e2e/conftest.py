"""One `kennel demo` on the drawn photos, in a `.kennel/` of its own and beside taken default ports, for all tests."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest

ROOT = Path(__file__).parents[2]
# What a person may have set for another Airflow: in it, everybody is admin.
THEIRS = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True", "AIRFLOW__API__HOST": "0.0.0.0"}


@dataclass(frozen=True)
class Kennel:
    """The installed `kennel` command with its own `.kennel/`."""

    home: Path
    printed: list[str] = field(default_factory=list)  # by all commands but `env`, which is there to tell a secret

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command as a person gives it, on no terminal; its output goes to pytest's as well."""
        command = [str(Path(sys.executable).parent / "kennel"), *arguments]
        env = {**os.environ, **THEIRS, "KENNEL_HOME": str(self.home)}
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr, sep="\n")
        if arguments != ("env",):
            self.printed.append(done.stdout + done.stderr)
        return done

    def demo(self, *arguments: str) -> dict[str, Any]:
        """Run a demo that must succeed; its report."""
        file = self.home.parent / "report.json"
        done = self.run("demo", "--report", str(file), *arguments)
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(file.read_text())
        return {**report, "output": done.stdout}

    def processes(self) -> list[str]:
        """The command lines of all processes that have to do with this `.kennel/`."""
        found = []
        for process in psutil.process_iter(["pid", "cmdline", "cwd", "environ", "status"]):
            told = [*(process.info["cmdline"] or []), process.info["cwd"], *(process.info["environ"] or {}).values()]
            mine = any(str(self.home) in str(text) for text in told)
            if mine and process.info["status"] != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
                found.append(" ".join(process.info["cmdline"] or []))
        return found


@pytest.fixture(scope="session")
def kennel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kennel]:
    """The command; what it has started is stopped at the end whatever the tests did."""
    command = Kennel(tmp_path_factory.mktemp("e2e") / "kennel")
    with contextlib.ExitStack() as taken:
        for port in (4566, 8080):
            # somebody else may hold it already, which is as good
            with contextlib.suppress(OSError):
                taken.enter_context(socket.create_server(("127.0.0.1", port)))
        yield command
        command.run("down")
    assert command.processes() == []


@pytest.fixture(scope="session")
def demo(kennel: Kennel) -> dict[str, Any]:
    """The report of the first demo, with what it printed as `output`."""
    return kennel.demo()


@pytest.fixture
def api(kennel: Kennel, demo: dict[str, Any]) -> httpx.Client:
    """Airflow's REST API, as admin."""
    url = demo["airflow"]["url"]
    login = {"username": "admin", "password": json.loads((kennel.home / "airflow-passwords.json").read_text())["admin"]}
    token = httpx.post(f"{url}/auth/token", json=login, trust_env=False).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=f"{url}/api/v2", headers=headers, trust_env=False, timeout=60)


@pytest.fixture
def sagemaker(kennel: Kennel, demo: dict[str, Any]) -> Any:
    """A boto3 client of the demo's local AWS, as root."""
    variables = dict(line.split("=", 1) for line in kennel.run("env").stdout.splitlines())
    names = ("aws_access_key_id", "aws_secret_access_key")
    keys = {name: variables[name.upper()] for name in names}
    region, url = variables["AWS_REGION"], variables["AWS_ENDPOINT_URL"]
    return boto3.client("sagemaker", region_name=region, endpoint_url=url, **keys)
