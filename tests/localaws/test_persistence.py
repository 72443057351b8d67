"""What is told so often that a copy of the server writes it down."""

import os
import signal
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.conftest import LocalAws, running_local_aws, start_local_aws, stop_local_aws
from tests.stores import eventually

STREAM = {"logGroupName": "group", "logStreamName": "stream"}


def tell(local: LocalAws, count: int) -> None:
    """Put so many log events, `word 0` and so on."""
    logs = local.client("logs")
    logs.create_log_group(logGroupName="group")
    logs.create_log_stream(**STREAM)
    now = int(1000 * time.time())
    for first in range(0, count, 10_000):
        numbers = range(first, min(count, first + 10_000))
        logs.put_log_events(**STREAM, logEvents=[{"timestamp": now, "message": f"word {number}"} for number in numbers])


def copy_at_work(server: psutil.Process) -> psutil.Process | None:
    """The copy that is saving, held still once it has let the server's sockets go."""
    for child in server.children():
        try:
            if child.cmdline() == server.cmdline() and not child.net_connections():
                child.suspend()
                return child if child.status() == psutil.STATUS_STOPPED else None
        except psutil.NoSuchProcess:
            pass
    return None


def test_log_events_outlive_a_kill(tmp_path: Path) -> None:
    local = start_local_aws(tmp_path / "home")
    tell(local, 3)
    eventually(lambda: any("word 2" in file.read_text() for file in tmp_path.glob("home/**/cloudwatch_logs.json")))
    os.kill(local.process.pid, signal.SIGKILL)
    local.process.wait()
    with running_local_aws(tmp_path / "home") as again:
        events = again.client("logs").get_log_events(**STREAM, startFromHead=True)["events"]
    assert [event["message"] for event in events] == ["word 0", "word 1", "word 2"]


def test_a_copy_ends_with_the_server_and_holds_none_of_its_sockets(tmp_path: Path) -> None:
    local = start_local_aws(tmp_path / "home")
    tell(local, 100_000)
    copy: psutil.Process = eventually(lambda: copy_at_work(psutil.Process(local.process.pid)), poll=0.001)
    os.kill(local.process.pid, signal.SIGKILL)
    local.process.wait()
    address = urlsplit(local.url)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port or 0))
    assert psutil.wait_procs([copy], timeout=10)[1] == []


def test_a_copy_that_is_killed_is_told_and_the_server_goes_on(tmp_path: Path) -> None:
    local = start_local_aws(tmp_path / "home")
    tell(local, 100_000)
    copy: psutil.Process = eventually(lambda: copy_at_work(psutil.Process(local.process.pid)), poll=0.001)
    copy.kill()
    eventually(lambda: "cloudwatch_logs is not saved: the copy ended with -9" in (tmp_path / "home/log").read_text())
    stop_local_aws(local)
