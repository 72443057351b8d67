"""Writes down what MiniStack holds while it runs; by itself it does so only when it is stopped in peace.

What a service of MiniStack was told is in its file before the answer goes out. What the request set going elsewhere,
the stack's resources, the function's log, follows within a second or so. So do log events and metrics, which come
often and in numbers; objects in S3 are files of their own already.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import re
import signal
import time
import traceback
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import ministack.app
from ministack.core import iam_actions, persistence

from localaws.signatures import SignedRequest

READS = re.compile(r"[\w-]+:(BatchGet|Describe|Filter|Get|Head|List|Lookup|Query|Scan|Search|Simulate|Test|Validate)")
# Told so much and so often that the answers do not wait.
STREAMS = frozenset({"cloudwatch", "cloudwatch_logs"})
# By a request to one of these, nothing changes elsewhere.
ALONE = frozenset({"iam", "sts"})
INVOKE = "lambda:InvokeFunction"

INTERVAL = 1.0  # seconds between two savings of what goes on beside the requests
SETTLED = 5.0  # seconds after which what a request set going is done
LONGEST = 60  # seconds that a copy may take to save
SHARE = 0.05  # of a processor, at most, goes into that: logs may have become large

PR_SET_PDEATHSIG = 1  # prctl(2)
libc = ctypes.CDLL(None)

log = logging.getLogger(__name__)


class Keeper:
    """Keeps MiniStack's files up with it. Its methods are called on the server's loop."""

    def __init__(self) -> None:
        self._saving: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._due: dict[str, float] = {}  # until when a state is to be saved again and again
        self._something = asyncio.Event()
        self._stopped = asyncio.Event()

    async def after(self, service: str, path: str, request: SignedRequest) -> None:
        """Save what a request that has been carried out may have changed."""
        state = _state(service)
        if state is None or request.method in ("GET", "HEAD") or (state == "s3" and "/" in path.strip("/")):
            return
        action = iam_actions.extract_iam_action(
            service, request.method, path, request.headers, request.body, request.query
        )
        if action and READS.match(action):
            return
        if state in STREAMS:
            self._mark([state])
        elif state not in ALONE:
            self.follow_up()
        if state not in STREAMS and action != INVOKE:
            await self._save(state)

    def follow_up(self) -> None:
        """Save, again and again for a while, what a request that was answered has set going."""
        self._mark(ministack.app._build_persistence_save_dict())

    async def run(self) -> None:
        """Save what goes on beside the requests, until `stop`."""
        while not self._stopped.is_set():
            await self._something.wait()
            began = time.monotonic()
            took = sum([await self._save(state) for state in list(self._due)])
            self._due = {state: until for state, until in self._due.items() if until > began}
            if not self._due:
                self._something.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), max(INTERVAL, took / SHARE))

    def stop(self) -> None:
        """Let `run` end, once it has written what it is writing. From here on MiniStack saves by itself."""
        self._due.clear()
        self._stopped.set()
        self._something.set()

    def _mark(self, states: Iterable[str]) -> None:
        self._due |= dict.fromkeys(states, time.monotonic() + SETTLED)
        self._something.set()

    async def _save(self, state: str) -> float:
        async with self._saving[state]:
            return await asyncio.to_thread(_save_by_a_copy if state in STREAMS else _save, state)


def _state(service: str) -> str | None:
    """The name under which MiniStack keeps a service's state; None for a service that is not MiniStack's."""
    entry = ministack.app.SERVICE_REGISTRY.get(ministack.app.SERVICE_NAME_ALIASES.get(service, service))
    return str(entry.get("state_key", entry["module"])) if entry else None


def _save_by_a_copy(state: str) -> float:
    """`_save` in a copy of this process as it is now: the interpreter's lock is its own, so no request waits for it."""
    server = os.getpid()
    try:
        copy = os.fork()
        if copy == 0:
            _be_a_copy(server, state)
        _, status, used = os.wait4(copy, 0)
    except OSError as error:
        log.error("%s is not saved: %s", state, error)
        return 0.0
    if status:
        log.error("%s is not saved: the copy ended with %s", state, os.waitstatus_to_exitcode(status))
    return used.ru_utime + used.ru_stime


def _be_a_copy(server: int, state: str) -> NoReturn:
    """Save and end, with the server at the latest. Sockets and pipes are let go: they must not outlive it."""
    try:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:  # it ended before that
            os._exit(0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM):  # for the server, which waits for what is being written
            signal.signal(number, signal.SIG_IGN)
        signal.alarm(LONGEST)  # it would wait for ever for a lock that another thread held
        os.closerange(3, 1 + max(int(file.name) for file in Path("/proc/self/fd").iterdir()))
        _save(state)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _save(state: str) -> float:
    """The seconds of computing it took. A failure is in MiniStack's log, and the state saved again if it is due."""
    began = time.thread_time()
    every = ministack.app._build_persistence_save_dict()
    persistence.save_all({state: every[state]} if state in every else {})
    return time.thread_time() - began
