import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kennel.local import processes
from kennel.local.state import Service
from tests.processes import alive

# Starts a child in its own session and one in a session apart, tells their numbers, and waits.
FAMILY = """
import subprocess, sys, time
inside = subprocess.Popen(["sleep", "300"])
apart = subprocess.Popen(["sleep", "300"], start_new_session=True)
print(inside.pid, apart.pid, flush=True)
time.sleep(300)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))
print("ready", flush=True)
while True:
    time.sleep(1)
"""


def start(script: str, log: Path) -> Service:
    env = processes.environment()
    return processes.start([sys.executable, "-c", script], env=env, log=log, cwd=log.parent, ports={"http": 1})


def said(log: Path) -> str:
    """The first line of a log, which must come."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if log.exists() and "\n" in log.read_text():
            return log.read_text().splitlines()[0]
        time.sleep(0.02)
    raise AssertionError("nothing was printed")


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[Service, list[int]]]:
    service = start(FAMILY, tmp_path / "log")
    children = [int(pid) for pid in said(tmp_path / "log").split()]
    yield service, children
    for pid in [service.pid, *children]:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_service_stops_with_its_children_in_whatever_session(family: tuple[Service, list[int]]) -> None:
    service, children = family
    assert processes.running(service)
    assert {process.pid for process in processes.members(service)} == {service.pid, *children}

    processes.stop(service)

    assert not processes.running(service)
    assert not any(alive(pid) for pid in children)


def test_what_a_killed_leader_left_in_its_session_is_found_and_stopped(family: tuple[Service, list[int]]) -> None:
    service, (inside, _) = family
    os.kill(service.pid, signal.SIGKILL)
    os.waitpid(service.pid, 0)
    assert not processes.running(service)
    assert [process.pid for process in processes.members(service)] == [inside]

    processes.stop(service)

    assert not alive(inside)


def test_a_pid_that_has_become_another_process_is_left_alone(family: tuple[Service, list[int]]) -> None:
    service, _ = family
    before = replace(service, started=service.started - 1, cwd="/where/the/earlier/one/was")
    assert not processes.running(before)
    processes.stop(before)
    assert processes.running(service)


def test_a_service_deaf_to_signals_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "ORDERLY_SECONDS", 0.5)
    monkeypatch.setattr(processes, "PROMPT_SECONDS", 2.0)
    service = start(STUBBORN, tmp_path / "log")
    assert said(tmp_path / "log") == "ready"
    processes.stop(service)
    assert not alive(service.pid)
    assert (tmp_path / "log").read_text().split() == ["ready", "told"]


def test_a_service_outlives_a_parent_that_ignores_interrupts_and_still_hears_them(tmp_path: Path) -> None:
    """As after `kennel up &` in a script: the shell has such a job ignore SIGINT, and children inherit that."""
    starter = f"""
import json, signal, sys
from dataclasses import asdict
from pathlib import Path
signal.signal(signal.SIGINT, signal.SIG_IGN)
from kennel.local import processes
log = Path({str(tmp_path / "log")!r})
command = [sys.executable, "-c", {FAMILY!r}]
print(json.dumps(asdict(processes.start(command, env=processes.environment(), log=log, cwd=log.parent, ports={{}}))))
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", starter], env=env, capture_output=True, text=True, check=True)
    service = Service(**json.loads(answer.stdout))
    said(tmp_path / "log")
    assert processes.running(service)
    began = time.monotonic()
    processes.stop(service)
    assert not alive(service.pid)
    assert time.monotonic() - began < processes.ORDERLY_SECONDS / 2, "it was not the interrupt that ended it"


def test_the_persons_own_aws_airflow_and_proxy_settings_stay_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AIRFLOW_HOME", "AIRFLOW__CORE__EXECUTOR", "https_proxy"):
        monkeypatch.setenv(name, "theirs")
    environment = processes.environment(AIRFLOW_HOME="ours")
    assert environment["AIRFLOW_HOME"] == "ours"
    assert "theirs" not in environment.values()
    assert environment["PATH"] == os.environ["PATH"]
