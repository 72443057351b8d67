"""When schedule expressions are due."""

import datetime

import pytest

from localaws.schedules import parse


def at(text: str, zone: datetime.tzinfo = datetime.UTC) -> float:
    """Epoch seconds of a date and time."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def minutes(expression: str, begin: str, count: int, zone: str = "UTC") -> list[str]:
    """The minutes, of so many, in which an expression is due."""
    due = parse(expression, zone, 0)
    start = at(begin)
    found = [start + 60 * number for number in range(count) if due(start + 60 * number - 1, start + 60 * number)]
    return [f"{datetime.datetime.fromtimestamp(moment, datetime.UTC):%Y-%m-%dT%H:%M}" for moment in found]


def test_at_is_due_once() -> None:
    due = parse("at(2026-11-22T08:30:10)", "UTC", 0)

    assert due(at("2026-11-22T08:30:09"), at("2026-11-22T08:30:10"))
    assert not due(at("2026-11-22T08:30:10"), at("2026-11-22T08:30:11"))
    assert parse("at(2026-11-22T08:30:10)", "Europe/Berlin", 0)(at("2026-11-22T07:30:09"), at("2026-11-22T07:30:11"))


def test_a_rate_is_due_every_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    due = parse("rate(5 minutes)", "UTC", 1000)
    assert [second for second in range(990, 1800) if due(second - 1, second)] == [1000, 1300, 1600]

    monkeypatch.setenv("LOCALAWS_CLOCK_SPEED", "60")
    due = parse("rate(1 hour)", "UTC", 1000)
    assert [second for second in range(1001, 1200) if due(second - 1, second)] == [1060, 1120, 1180]


@pytest.mark.parametrize(
    ("expression", "begin", "count", "expected"),
    [
        ("cron(0/20 8-9 * * ? *)", "2026-11-22T07:50", 90, ["08:00", "08:20", "08:40", "09:00"]),
        ("cron(15,45 10 ? * SUN *)", "2026-11-22T10:00", 60, ["10:15", "10:45"]),  # a Sunday
        ("cron(0 10 ? * MON-FRI *)", "2026-11-22T09:59", 5, []),
        ("cron(0 10 22 NOV ? 2026)", "2026-11-22T09:59", 5, ["10:00"]),
        ("cron(0 10 22 NOV ? 2027)", "2026-11-22T09:59", 5, []),
    ],
)
def test_cron_is_due_where_all_fields_are(expression: str, begin: str, count: int, expected: list[str]) -> None:
    assert minutes(expression, begin, count) == [f"2026-11-22T{time}" for time in expected]


def test_cron_goes_by_its_time_zone() -> None:
    assert minutes("cron(0 9 * * ? *)", "2026-07-01T07:00", 60, "Europe/Berlin") == ["2026-07-01T07:00"]
    assert minutes("cron(0 9 * * ? *)", "2026-12-01T08:00", 60, "Europe/Berlin") == ["2026-12-01T08:00"]


@pytest.mark.parametrize(
    "expression",
    [
        "tomorrow",
        "at(2026-11-22)",
        "at(2026-13-22T00:00:00)",
        "rate(0 minutes)",
        "rate(5 weeks)",
        "cron(0 10 * * *)",
        "cron(0 10 1 * MON *)",
        "cron(60 10 * * ? *)",
        "cron(0 10 L * ? *)",
        "cron(5-1 10 * * ? *)",
        "cron(*/0 10 * * ? *)",
        "cron(0 10 ? * 2#1 *)",
    ],
)
def test_refuses_what_is_no_schedule(expression: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(expression, "UTC", 0)


def test_names_a_time_zone_that_is_none() -> None:
    with pytest.raises(ValueError, match="Europe/Nowhere is no time zone"):
        parse("rate(5 minutes)", "Europe/Nowhere", 0)
