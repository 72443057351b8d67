"""The settings that keep containers from taking the whole machine."""

import os
import re

import pytest

from localaws.jobs import limits


def test_without_settings_there_is_no_limit_but_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCALAWS_JOB_MEMORY_MB", "LOCALAWS_JOB_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert (limits.memory_mb(), limits.threads()) == (None, len(os.sched_getaffinity(0)))


def test_settings_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALAWS_JOB_MEMORY_MB", "2048")
    monkeypatch.setenv("LOCALAWS_JOB_THREADS", "3")
    assert (limits.memory_mb(), limits.threads()) == (2048, 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [("LOCALAWS_JOB_MEMORY_MB", "2G"), ("LOCALAWS_JOB_MEMORY_MB", "63"), ("LOCALAWS_JOB_THREADS", "0")],
)
def test_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=re.escape(f"{name} is '{value}'; it must be a whole number of at least")):
        limits.check()
