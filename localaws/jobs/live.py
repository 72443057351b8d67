"""The jobs that run in this process: a thread each, their containers, and how they are stopped from outside."""

import logging
import queue
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Protocol

from localaws.cloud import Cloud, now
from localaws.jobs.logs import LogStream
from localaws.jobs.process import Process
from localaws.jobs.s3 import TransferError
from localaws.jobs.workspace import Workspace

REASON_LENGTH = 1024  # of a FailureReason
FINAL = ("Completed", "Failed", "Stopped")
_OUTPUT_SECONDS = 10  # for the last lines of a container whose processes are gone
_JOIN_SECONDS = 5
_ERROR_LINE = re.compile(r"^(\w[\w.]*(Error|Exception|Interrupt|Exit)\b|ERROR\b)")

log = logging.getLogger(__name__)


class StoppedError(Exception):
    """The job was asked to stop before its containers ran."""


class JobError(Exception):
    """The job cannot go on; the message is its FailureReason."""


class AbandonedError(Exception):
    """The server stops; the job's record stays as it is, for `recover` at the next start."""


class Cause(Enum):
    """Why a job's containers ended."""

    EXIT = "exit"
    STOP = "stop"
    OVERTIME = "overtime"


@dataclass(frozen=True)
class Ending:
    """How a job's containers ended: the first exit code that is not 0, if any, and what its container said last."""

    cause: Cause
    code: int
    host: int
    last_words: str


@dataclass(frozen=True)
class Container:
    """One container of a job, ready to start."""

    workspace: Workspace
    command: Sequence[str]
    environment: Mapping[str, str]
    cwd: str
    stream: LogStream
    on_line: Callable[[str], None] = lambda line: None


class Run:
    """A job in progress, as the threads that stop it see it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.finished = threading.Event()
        self.stopping = False
        self.closed = False  # its outcome is in its record
        self.abandoned = False
        self._halt = threading.Event()
        self._events: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._processes: list[Process] = []

    def pause(self, seconds: float) -> None:
        """Wait; raise AbandonedError or StoppedError as soon as it is time to."""
        self._halt.wait(seconds)
        self.check()

    def stop(self) -> None:
        """Ask the job to stop; its containers get SIGTERM, and SIGKILL after 120 s."""
        self.stopping = True
        self._events.put(None)
        self._halt.set()

    def abandon(self) -> None:
        """Kill its containers at once; the job ends as AbandonedError."""
        with self.lock:
            self.abandoned = True
            processes = list(self._processes)
        for process in processes:
            process.kill()
        self._events.put(None)
        self._halt.set()

    def check(self) -> None:
        """Raise AbandonedError or StoppedError when it is time to."""
        if self.abandoned:
            raise AbandonedError
        if self.stopping:
            raise StoppedError

    def containers(self, containers: Sequence[Container], seconds: float) -> Ending:
        """Run containers to their end, all of them: when one fails the others are killed.

        They are stopped when `seconds` are over (Cause.OVERTIME).
        """
        deadline = time.monotonic() + seconds
        self._processes, self._events = [], queue.SimpleQueue()
        if self.stopping:
            self._events.put(None)
        tails: list[deque[str]] = [deque(maxlen=20) for _ in containers]
        watchers = []
        try:
            for index, container in enumerate(containers):
                process = self._start(container)
                watchers.append(threading.Thread(target=self._watch, args=(index, container, process, tails[index])))
                watchers[-1].start()
        except JobError:
            for process in self._processes:
                process.kill()
            raise
        cause, codes = self._await(len(containers), deadline)
        if len(codes) < len(containers):
            end = Process.kill if cause is Cause.EXIT else Process.stop
            with ThreadPoolExecutor(len(containers)) as pool:
                list(pool.map(end, self._processes))
        for watcher in watchers:
            watcher.join()
        if self.abandoned:
            raise AbandonedError
        host, code = next(((index, code) for index, code in codes.items() if code), (0, 0))
        return Ending(cause, code, host, _last_words(tails[host]))

    def _start(self, container: Container) -> Process:
        with self.lock:
            if self.abandoned:
                raise AbandonedError
            try:
                process = Process.start(container.workspace, container.command, container.environment, container.cwd)
            except OSError as error:
                raise JobError(f"InternalServerError: The container could not be started: {error}") from error
            self._processes.append(process)
            return process

    def _watch(self, index: int, container: Container, process: Process, tail: deque[str]) -> None:
        def on_line(line: str) -> None:
            if line.strip():
                tail.append(line)
            container.on_line(line)

        reader = threading.Thread(target=container.stream.follow, args=(process.output, on_line), daemon=True)
        reader.start()
        code = process.wait()
        reader.join(_OUTPUT_SECONDS)
        self._events.put((index, code or 0))

    def _await(self, count: int, deadline: float) -> tuple[Cause, dict[int, int]]:
        codes: dict[int, int] = {}
        while len(codes) < count:
            try:
                event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return Cause.OVERTIME, codes
            if event is None:
                return Cause.STOP, codes
            codes[event[0]] = event[1]
            if event[1]:
                break
        return Cause.EXIT, codes


class Job(Protocol):
    """What a thread of `start` does, and how it writes down an outcome other than success."""

    def run(self, run: Run) -> None:
        """Do it. May raise JobError, TransferError, StoppedError and AbandonedError."""

    def failed(self, run: Run, reason: str) -> None:
        """Record that it failed."""

    def stopped(self, run: Run) -> None:
        """Record that it was stopped before its containers ran."""


class Recorded:
    """A job whose record, in the store, says how it ended in `<title>JobStatus`, `<title>EndTime` and FailureReason."""

    kind: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, cloud: Cloud, name: str) -> None:
        self._cloud = cloud
        self._name = name

    def failed(self, run: Run, reason: str) -> None:
        """Record that the job failed."""
        self._finish(run, "Failed", FailureReason=reason)

    def stopped(self, run: Run) -> None:
        """Record that the job was stopped; what it had stored by then stays."""
        self._finish(run, "Stopped")

    def _finish(self, run: Run, status: str, **members: Any) -> None:
        with run.lock:
            run.closed = True
            moment = now()
            times = {f"{self.title}EndTime": moment, "LastModifiedTime": moment}
            self._cloud.store.update(self.kind, self._name, **{f"{self.title}JobStatus": status}, **times, **members)


_Key = tuple[Path, str, str]
_runs: dict[_Key, Run] = {}


def directory(cloud: Cloud, kind: str, name: str) -> Path:
    """Where a job's files are while it runs."""
    return cloud.home / "jobs" / kind / name


def start(cloud: Cloud, kind: str, name: str, job: Job) -> Run:
    """Run a job in a thread of its own."""
    key = (cloud.home, kind, name)
    run = _runs[key] = Run()
    place = directory(cloud, kind, name)
    threading.Thread(target=_work, args=(key, run, job, place), name=f"{kind} {name}", daemon=True).start()
    return run


def find(cloud: Cloud, kind: str, name: str) -> Run | None:
    """The job in progress, if it is."""
    return _runs.get((cloud.home, kind, name))


def shutdown(cloud: Cloud, kind: str) -> None:
    """Kill every job of a kind and wait until their threads are gone."""
    runs = [run for (home, of_kind, _), run in list(_runs.items()) if (home, of_kind) == (cloud.home, kind)]
    for run in runs:
        run.abandon()
    for run in runs:
        run.finished.wait(_JOIN_SECONDS)


def _work(key: _Key, run: Run, job: Job, place: Path) -> None:
    try:
        _do(key, run, job)
    except AbandonedError:
        log.info("%s %s was left unfinished", *key[1:])
    except Exception:
        if not run.abandoned:  # else it missed the server and the store, which are gone
            log.exception("%s %s has no outcome", *key[1:])
    finally:
        shutil.rmtree(place, ignore_errors=True)
        del _runs[key]
        run.finished.set()


def _do(key: _Key, run: Run, job: Job) -> None:
    try:
        job.run(run)
    except StoppedError:
        job.stopped(run)
    except (JobError, TransferError) as error:
        job.failed(run, str(error)[:REASON_LENGTH])
    except AbandonedError:
        raise
    except Exception as error:
        if run.abandoned:
            raise AbandonedError from error
        log.exception("%s %s", *key[1:])
        job.failed(run, f"InternalServerError: {error!r}"[:REASON_LENGTH])


def _last_words(lines: Sequence[str]) -> str:
    """The last line that names an error, else the last line."""
    return next((line for line in reversed(lines) if _ERROR_LINE.match(line)), lines[-1] if lines else "")
