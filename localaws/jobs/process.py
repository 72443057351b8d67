"""A container's processes: one process group, seen as one thing, that never outlives this server."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO

import psutil

from localaws.jobs.workspace import ROOT, Workspace

GRACE_SECONDS = 120.0  # between SIGTERM and SIGKILL, as SageMaker gives


class Process:
    """A running container. `output` is its standard output and error together, to be read by one thread (see logs.py).

        process = Process.start(workspace, ["python", "train.py"], environment, cwd="/opt/ml/code")
        threading.Thread(target=LogStream(cloud, group, stream).follow, args=(process.output,)).start()
        code = process.wait()

    When the first process ends, whatever it left behind is killed. When this server ends, even by SIGKILL, so does the
    whole group.
    """

    def __init__(self, popen: subprocess.Popen[bytes], output: IO[bytes], lifeline: int) -> None:
        self._popen = popen
        self._lifeline = lifeline
        self._lock = threading.Lock()
        self.output = output

    @classmethod
    def start(
        cls,
        workspace: Workspace,
        command: Sequence[str],
        environment: Mapping[str, str],
        cwd: str = ROOT,
        stderr: int = subprocess.STDOUT,
    ) -> "Process":
        """Start `command` in the workspace with exactly this environment. OSError when it cannot be.

        `stderr`: the file descriptor that standard error goes to, if not with the output.
        """
        stdin, lifeline = os.pipe()
        output, stdout = os.pipe()
        try:
            popen = subprocess.Popen(
                workspace.enter(command, cwd),
                env=dict(environment),
                cwd=workspace.directory,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        except OSError:
            os.close(lifeline)
            os.close(output)
            raise
        finally:
            os.close(stdin)
            os.close(stdout)
        return cls(popen, os.fdopen(output, "rb", buffering=0), lifeline)

    @property
    def pid(self) -> int:
        """The first process, which also names the group."""
        return self._popen.pid

    def wait(self, timeout: float | None = None, *, bury: bool = True) -> int | None:
        """The exit code (negative: the signal that killed it), or None when it still runs after `timeout` seconds.

        `bury=False` leaves what the first process left behind alone; it ends with `kill`, or this server.
        """
        try:
            code = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        if bury:
            self._bury()
        return code

    def left_behind(self) -> bool:
        """Whether others than the first process, which has ended, go on in the group."""
        members = []
        for pid in psutil.pids():
            with contextlib.suppress(ProcessLookupError):
                members.append(os.getpgid(pid) == self.pid)
        return sum(members) > 1  # one is the watcher of the lifeline

    def stop(self, grace: float = GRACE_SECONDS) -> int:
        """SIGTERM to the group, SIGKILL after `grace` seconds to it and all it started; returns the exit code."""
        if self._lifeline < 0:  # it has ended, and its number may be another's by now
            return self._popen.returncode
        descendants = self._descendants()
        if grace:
            self._signal(signal.SIGTERM)
        if not grace or self.wait(grace) is None:
            descendants += self._descendants()
            self._signal(signal.SIGKILL)
        for descendant in descendants:  # those in a session of their own, as torchrun starts its workers
            with contextlib.suppress(psutil.NoSuchProcess):
                descendant.kill()
        code = self._popen.wait()
        self._bury()
        return code

    def kill(self) -> int:
        """SIGKILL at once to the group and all it started; returns the exit code."""
        return self.stop(grace=0)

    def _descendants(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _signal(self, number: signal.Signals) -> None:
        """To the group. Until it is buried the watcher of the lifeline is in it, so its number is nobody else's."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._lifeline >= 0:
                os.killpg(self.pid, number)

    def _bury(self) -> None:
        """Kill what is left of the group and let go of its lifeline, once."""
        self._signal(signal.SIGKILL)
        with self._lock:
            if self._lifeline >= 0:
                os.close(self._lifeline)
                self._lifeline = -1
