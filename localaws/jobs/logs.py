"""A container's output to CloudWatch Logs, as it is written."""

import logging
import os
import re
import select
import time
from collections import deque
from collections.abc import Callable
from typing import IO, Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.cloud import Cloud
from localaws.jobs.clients import root_client

_BATCH_SECONDS = 0.25
_BATCH_BYTES = 500_000  # PutLogEvents takes 1,048,576 with 26 for each event
_BATCH_EVENTS = 5_000  # PutLogEvents takes 10,000
_LINE_BYTES = 80_000  # an event holds 262,144; a byte that is no UTF-8 becomes three
# MiniStack keeps every event in memory, at about so much more than its text.
_EVENT_BYTES = 1_000
# What the beginning of a container's output may take, and after that the last of each ten minutes.
_FIRST_BYTES = 24_000_000
_LAST_BYTES = 1_000_000
_LAST_SECONDS = 600.0
_TOO_LONG = "[local AWS] The output is too long to keep. From here on only the last of each ten minutes is."
_LINE_END = re.compile(rb"[\r\n]+")

log = logging.getLogger(__name__)


def _ignore(line: str) -> None:
    pass


class LogStream:
    """One stream of a log group; both are created when the first container's output is followed.

    `logs`: the client to write with, if not root's.
    """

    def __init__(self, cloud: Cloud, group: str, stream: str, logs: Any = None) -> None:
        self._logs = logs or root_client(cloud, "logs")
        self._group = group
        self._stream = stream
        self._events: list[dict[str, Any]] = []
        self._bytes = 0
        self._due = 0.0
        self._left = _FIRST_BYTES
        self._rest = _Rest()

    def follow(self, output: IO[bytes], on_line: Callable[[str], None] = _ignore) -> None:
        """Send every line until the output ends, at most a quarter of a second late; `on_line` sees each one first.

        Only one batch is ever held: a container that writes faster than its lines can be sent is slowed down. Not
        all lines of a very long output are sent; one that says so is. The output is closed at the end.
        """
        try:
            self._create()
            self._follow(output, on_line)
        finally:
            output.close()

    def _follow(self, output: IO[bytes], on_line: Callable[[str], None]) -> None:
        poll = select.poll()
        poll.register(output, select.POLLIN | select.POLLHUP)
        rest = b""
        while True:
            wait = max(0.0, self._due - time.monotonic()) * 1000 if self._events else None
            if poll.poll(wait):
                chunk = os.read(output.fileno(), 65536)
                if not chunk:
                    break
                *lines, rest = _LINE_END.split(rest + chunk)
                if len(rest) > _LINE_BYTES:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._add(line, on_line)
            if self._events and time.monotonic() >= self._due:
                self._send()
        self._add(rest, on_line)
        self._append_rest()
        self._send()

    def _add(self, line: bytes, on_line: Callable[[str], None]) -> None:
        for start in range(0, len(line), _LINE_BYTES):
            text = line[start : start + _LINE_BYTES].decode(errors="replace")
            on_line(text)
            if self._left <= 0:
                self._rest.add(text)
                if time.monotonic() >= self._rest.due:
                    self._append_rest()
                continue
            self._append(text)
            self._left -= len(text) + _EVENT_BYTES
            if self._left <= 0:
                self._append(_TOO_LONG)
                self._rest = _Rest()

    def _append_rest(self) -> None:
        rest, self._rest = self._rest, _Rest()
        for text in rest.lines():
            self._append(text)

    def _append(self, text: str) -> None:
        if not self._events:
            self._due = time.monotonic() + _BATCH_SECONDS
        self._events.append({"timestamp": int(time.time() * 1000), "message": text})
        self._bytes += len(text.encode()) + 26
        if self._bytes >= _BATCH_BYTES or len(self._events) >= _BATCH_EVENTS:
            self._send()

    def _send(self) -> None:
        events, self._events, self._bytes = self._events, [], 0
        if events:
            self._try(self._logs.put_log_events, logGroupName=self._group, logStreamName=self._stream, logEvents=events)

    def _create(self) -> None:
        place = {"logGroupName": self._group, "logStreamName": self._stream}
        try:
            self._logs.create_log_stream(**place)
        except self._logs.exceptions.ResourceNotFoundException:
            self._try(self._logs.create_log_group, logGroupName=self._group)
            self._try(self._logs.create_log_stream, **place)
        except (BotoCoreError, ClientError) as error:
            log.info("%s has no logs: %s", self._stream, error)

    def _try(self, call: Callable[..., Any], **request: Any) -> None:
        """Call, and go on without: a job does not fail for its logs, as on SageMaker."""
        try:
            call(**request)
        except (BotoCoreError, ClientError) as error:
            log.info("%s of %s: %s", call.__name__, self._stream, error)


class _Rest:
    """Lines that are too many: how many they are, the last of them, and when to send those."""

    def __init__(self) -> None:
        self.due = time.monotonic() + _LAST_SECONDS
        self._count = 0
        self._last: deque[str] = deque()
        self._bytes = 0

    def add(self, text: str) -> None:
        self._count += 1
        self._last.append(text)
        self._bytes += len(text) + _EVENT_BYTES
        while self._bytes > _LAST_BYTES:
            self._bytes -= len(self._last.popleft()) + _EVENT_BYTES

    def lines(self) -> list[str]:
        """The last lines, after one that tells how many are missing before them."""
        missing = self._count - len(self._last)
        if not missing:
            return list(self._last)
        return [f"[local AWS] {missing} lines are left out here.", *self._last]
