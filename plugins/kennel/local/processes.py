"""Services in the background: each a session of its own, found again and stopped as a whole."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TypeGuard

import psutil

from kennel.local.state import Service

ORDERLY_SECONDS = 15.0
PROMPT_SECONDS = 5.0
INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


def environment(**variables: str) -> dict[str, str]:
    """An environment of these variables and of this machine's few general ones.

    The person's own AWS, Airflow and proxy settings stay out: they would send a local run elsewhere.
    """
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | variables


def start(command: list[str], *, env: dict[str, str], log: Path, cwd: Path, ports: dict[str, int]) -> Service:
    """Start a command in a session of its own; what it prints is added to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # as in a script's background job; a child would inherit it and could not be stopped by SIGINT
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    return Service(process.pid, _started(process.pid), str(cwd.resolve()), ports)


def running(service: Service | None) -> TypeGuard[Service]:
    """Whether the very process that was started is still there."""
    return service is not None and _leader(service) is not None


def members(service: Service) -> set[psutil.Process]:
    """The service's leader, all that came from it, and what a leader that has gone left in its session.

    A session's number is given out again some time after its last member has gone, so that alone says little; a
    process of that session, as young and in the same directory is one of ours.
    """
    leader = _leader(service)
    found = set()
    if leader:
        with contextlib.suppress(psutil.NoSuchProcess):
            found = {leader, *leader.children(recursive=True)}
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            in_session = os.getsid(process.pid) == service.pid and _started(process.pid) >= service.started
            if in_session and process.cwd() == service.cwd:
                found.add(process)
    return {process for process in found if _alive(process)}


def stop(service: Service) -> None:
    """End a service and everything of it, and return when all of it is gone.

    SIGINT to its leader, as Ctrl-C would, so that it ends its own in order (a standalone Airflow knows no other
    signal); when it has gone, or has not in 15 seconds, SIGTERM to what is left; SIGKILL 5 seconds later.
    """
    left = members(service)
    leader = _leader(service)
    if leader:
        _signal({leader}, signal.SIGINT, ORDERLY_SECONDS)
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = {process for process in left | members(service) if _alive(process)}
        _signal(left, number, PROMPT_SECONDS)


def _signal(targets: set[psutil.Process], number: signal.Signals, seconds: float) -> None:
    """Send a signal and return when all of them are gone, or after these seconds."""
    for process in targets:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    deadline = time.monotonic() + seconds
    while any(map(_alive, targets)) and time.monotonic() < deadline:
        # reaps those that are children of this very process
        psutil.wait_procs(list(targets), timeout=0.1)


def _leader(service: Service) -> psutil.Process | None:
    try:
        if _started(service.pid) == service.started:
            process = psutil.Process(service.pid)
            return process if _alive(process) else None
    except (ProcessLookupError, psutil.NoSuchProcess):
        pass
    return None


def _started(pid: int) -> int:
    """Clock ticks from boot to the process's start: unlike its time of day, no setting of the clock changes it.

    Raises ProcessLookupError when there is no such process. The field is the 22nd of proc_pid_stat(5), the 20th behind
    the command's name in parentheses.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    return int(stat.rpartition(")")[2].split()[19])


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
