"""A container's processes and the directory they see at /opt/ml, without any server."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from localaws.jobs import workspace as workspaces
from localaws.jobs.process import Process
from localaws.jobs.workspace import Workspace
from tests.processes import alive

ENVIRONMENT = {"PATH": os.environ["PATH"]}
LISTENER = "trap 'echo had TERM; exit 7' TERM; echo up; while :; do sleep 0.05; done"

ALL_WAYS = (workspaces._unshare, workspaces._unshare_as_user, workspaces._bubblewrap)
WAYS = [*(way for way in ALL_WAYS if workspaces._works(way)), None]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_process_sees_its_workspace_at_opt_ml_and_the_machine_does_not(workspace: Workspace) -> None:
    workspace.real("/opt/ml/code").mkdir()
    before = Path("/opt/ml").exists()
    script = 'pwd; echo here > "$0/file"; ls /opt'
    process = Process.start(workspace, ["sh", "-c", script, "/opt/ml/code"], ENVIRONMENT, cwd="/opt/ml/code")
    lines = process.output.read().decode().split()
    assert process.wait() == 0
    assert lines[0] == workspace.seen("/opt/ml/code")
    assert (workspace.directory / "ml/code/file").read_text() == "here\n"
    assert Path("/opt/ml").exists() == before
    assert {entry.name for entry in Path("/opt").iterdir()} <= set(lines[1:])


@pytest.mark.parametrize("way", WAYS)
def test_each_way_in_that_works_here_shows_the_same(
    way: Callable[[Workspace, str], list[str]] | None, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspaces, "entrance", lambda: way)
    workspace.real("/opt/ml/input").mkdir()
    workspace.real("/opt/ml/input/note").write_text("read me")
    process = Process.start(workspace, ["cat", "/opt/ml/input/note"], ENVIRONMENT)
    assert (process.output.read(), process.wait()) == (b"read me", 0)


@pytest.mark.parametrize("path", ["/etc/passwd", "/opt/ml/../x", "/opt/mlx", "relative"])
def test_path_outside_of_the_workspace_is_refused(workspace: Workspace, path: str) -> None:
    with pytest.raises(ValueError, match="is not under /opt/ml"):
        workspace.real(path)


def test_process_gets_exactly_its_environment(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "x")
    process = Process.start(workspace, ["env"], {**ENVIRONMENT, "GIVEN": "y"})
    names = {line.partition("=")[0] for line in process.output.read().decode().splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "GIVEN"}
    assert process.wait() == 0


def test_stop_asks_first(workspace: Workspace) -> None:
    process = Process.start(workspace, ["sh", "-c", LISTENER], ENVIRONMENT)
    assert process.output.readline() == b"up\n"
    assert process.stop(grace=10) == 7
    assert b"had TERM" in process.output.read()


def test_stop_kills_what_does_not_listen(workspace: Workspace) -> None:
    process = Process.start(workspace, ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"], ENVIRONMENT)
    assert process.output.readline() == b"up\n"
    assert process.stop(grace=0.3) == -signal.SIGKILL
    assert process.stop() == -signal.SIGKILL


def test_what_a_process_leaves_behind_goes_with_it(workspace: Workspace) -> None:
    process = Process.start(workspace, ["sh", "-c", "sleep 600 & echo $!"], ENVIRONMENT)
    left = int(process.output.readline())
    assert process.wait() == 0
    deadline = time.monotonic() + 5
    while alive(left):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_wait_returns_nothing_while_it_runs(workspace: Workspace) -> None:
    process = Process.start(workspace, ["sleep", "600"], ENVIRONMENT)
    assert process.wait(timeout=0.05) is None
    assert process.kill() == -signal.SIGKILL


def test_process_dies_with_the_one_that_started_it(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import os, pathlib, sys, time
        from localaws.jobs.process import Process
        from localaws.jobs.workspace import Workspace
        process = Process.start(Workspace(pathlib.Path({str(tmp_path)!r})), ["sleep", "600"], {ENVIRONMENT!r})
        print(process.pid, flush=True)
        time.sleep(600)
    """)
    root = Path(__file__).parents[3]
    starter = subprocess.Popen([sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, text=True)
    assert starter.stdout
    child = psutil.Process(int(starter.stdout.readline()))
    starter.kill()
    starter.wait()
    _, alive = psutil.wait_procs([child], timeout=5)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_failed_start_leaks_no_descriptor(workspace: Workspace) -> None:
    gc.collect()  # what earlier tests left to close
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        Process.start(workspace, ["true"], {"PATH": "/nowhere"})
    assert len(list(Path("/proc/self/fd").iterdir())) == before
