"""A container's output on its way to the logs, when there is too much of it."""

import os
from pathlib import Path
from typing import Any

import pytest

from localaws.cloud import Cloud, Credentials
from localaws.jobs import logs
from localaws.jobs.logs import LogStream
from localaws.store import Store


class Kept:
    """CloudWatch Logs, as far as one stream needs it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def create_log_stream(self, **_: Any) -> None:
        """There is only one."""

    def put_log_events(self, **request: Any) -> None:
        self.lines += [event["message"] for event in request["logEvents"]]


def follow(tmp_path: Path, *lines: str) -> tuple[list[str], list[str]]:
    """Follow an output; returns the lines that were seen and those that were sent."""
    seen: list[str] = []
    kept = Kept()
    cloud = Cloud(Store(tmp_path / "db"), tmp_path, "http://here", "0", "us-east-1", Credentials("a", "b"))
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as pipe:
        pipe.write("".join(f"{line}\n" for line in lines).encode())
    stream = LogStream(cloud, "group", "stream", logs=kept)
    stream.follow(os.fdopen(reader, "rb", buffering=0), seen.append)
    return seen, kept.lines


@pytest.fixture
def two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lines are all that fits, at the beginning and at the end."""
    monkeypatch.setattr(logs, "_FIRST_BYTES", 2 * logs._EVENT_BYTES)
    monkeypatch.setattr(logs, "_LAST_BYTES", 2 * logs._EVENT_BYTES + 10)


def test_what_fits_is_sent_as_it_is(tmp_path: Path) -> None:
    assert follow(tmp_path, "one", "", "two\rthree") == (["one", "two", "three"],) * 2


@pytest.mark.usefixtures("two_lines")
def test_beginning_and_end_of_a_long_output_are_kept(tmp_path: Path) -> None:
    seen, sent = follow(tmp_path, *"abcdefg")
    assert seen == list("abcdefg")
    assert sent == ["a", "b", logs._TOO_LONG, "[local AWS] 3 lines are left out here.", "f", "g"]


@pytest.mark.usefixtures("two_lines")
def test_nothing_is_missing_where_the_end_fits(tmp_path: Path) -> None:
    assert follow(tmp_path, *"abcd")[1] == ["a", "b", logs._TOO_LONG, "c", "d"]


@pytest.mark.usefixtures("two_lines")
def test_last_lines_are_sent_from_time_to_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_LAST_SECONDS", 0.0)
    assert follow(tmp_path, *"abcdefg")[1] == ["a", "b", logs._TOO_LONG, *"cdefg"]
