"""The speed of the clock of metrics and scaling."""

import itertools
import threading
import time

import pytest

from localaws.clock import every_minute, minute_seconds


@pytest.mark.parametrize(("speed", "seconds"), [("1", 60), ("60", 1), ("7.5", 8)])
def test_a_minute_is_a_whole_number_of_seconds(monkeypatch: pytest.MonkeyPatch, speed: str, seconds: int) -> None:
    monkeypatch.setenv("LOCALAWS_CLOCK_SPEED", speed)

    assert minute_seconds() == seconds


@pytest.mark.parametrize("speed", ["0", "61", "fast", "-1", "nan"])
def test_names_a_setting_that_is_no_speed(monkeypatch: pytest.MonkeyPatch, speed: str) -> None:
    monkeypatch.setenv("LOCALAWS_CLOCK_SPEED", speed)

    with pytest.raises(ValueError, match=f"LOCALAWS_CLOCK_SPEED is '{speed}'"):
        minute_seconds()


def test_tells_of_every_minute_once_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALAWS_CLOCK_SPEED", "60")
    stop = threading.Event()

    started = time.time()
    first, second, third = itertools.islice(every_minute(stop, late=0.5), 3)

    assert second - first == third - second == 1
    assert first % 1 == 0
    assert third + 1.5 <= time.time() < started + 4.5


def test_ends_when_it_is_stopped() -> None:
    stop = threading.Event()
    stop.set()

    assert list(every_minute(stop)) == []
