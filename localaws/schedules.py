"""AWS's schedule expressions: `at(yyyy-mm-ddThh:mm:ss)`, `rate(value unit)` and `cron(six fields)`."""

import datetime
import re
from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from localaws.clock import shortened

# Whether a moment of the schedule lies after the first and not after the second time, both in epoch seconds.
Due = Callable[[float, float], bool]

SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
MONTHS = {name: number for number, name in enumerate(re.findall("...", "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"), 1)}
DAYS = {name: number for number, name in enumerate(re.findall("...", "SUNMONTUEWEDTHUFRISAT"), 1)}
# Of cron's fields in their order: least and greatest value, and names for some.
FIELDS: tuple[tuple[int, int, Mapping[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, MONTHS),
    (1, 7, DAYS),
    (1970, 2199, {}),
)


def parse(expression: str, zone: str, anchor: float) -> Due:
    """When an expression is due; a rate counts from `anchor`, on the clock that LOCALAWS_CLOCK_SPEED makes faster.

    ValueError for an expression or a time zone that is none. Cron's `L`, `W` and `#` are not built.
    """
    found = re.fullmatch(r"(at|rate|cron)\((.*)\)", expression.strip())
    if not found:
        raise ValueError(f"{expression} is none of at(...), rate(...) and cron(...)")
    try:
        tz = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{zone} is no time zone") from None
    kind, inside = found.groups()
    if kind == "at":
        return _at(inside, tz)
    return _rate(inside, anchor) if kind == "rate" else _cron(inside, tz)


def _at(text: str, zone: ZoneInfo) -> Due:
    try:
        moment = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"at({text}) is not of the form at(yyyy-mm-ddThh:mm:ss)") from None
    return lambda after, until: after < moment <= until


def _rate(text: str, anchor: float) -> Due:
    found = re.fullmatch(r"([1-9]\d*) (minute|hour|day)s?", text)
    if not found:
        raise ValueError(f"rate({text}) is not of the form rate(5 minutes)")
    interval = shortened(int(found[1]) * SECONDS[found[2]])
    return lambda after, until: (until - anchor) // interval > max(-1, (after - anchor) // interval)


def _cron(text: str, zone: ZoneInfo) -> Due:
    fields = text.upper().split()
    if len(fields) != len(FIELDS):
        raise ValueError(f"cron({text}) needs six fields: minutes, hours, day of month, month, day of week, year")
    if fields[2] not in "*?" and fields[4] not in "*?":
        raise ValueError(f"cron({text}) gives both a day of the month and a day of the week; make one of them ?")
    allowed = [_values(field, *limits) for field, limits in zip(fields, FIELDS, strict=True)]

    def due(after: float, until: float) -> bool:
        minutes = range(int(after // 60 + 1) * 60, int(until) + 1, 60)
        return any(_matches(datetime.datetime.fromtimestamp(minute, zone), allowed) for minute in minutes)

    return due


def _matches(moment: datetime.datetime, allowed: list[set[int]]) -> bool:
    weekday = moment.isoweekday() % 7 + 1  # Sunday is 1
    values = (moment.minute, moment.hour, moment.day, moment.month, weekday, moment.year)
    return all(value in field for value, field in zip(values, allowed, strict=True))


def _values(field: str, least: int, greatest: int, names: Mapping[str, int]) -> set[int]:
    values: set[int] = set()
    for part in field.split(","):
        found = re.fullmatch(r"(?:(\*|\?)|(\w+)(?:-(\w+))?)(?:/(\d+))?", part)
        if not found:
            raise ValueError(f"{part} is no part of a cron field that is built here")
        everything, first, last, step = found.groups()
        start = least if everything else _number(first, names)
        end = greatest if everything or (step and not last) else _number(last or first, names)
        if not least <= start <= end <= greatest or step == "0":
            raise ValueError(f"{part} is not from {least} to {greatest}")
        values.update(range(start, end + 1, int(step or 1)))
    return values


def _number(text: str, names: Mapping[str, int]) -> int:
    if text in names:
        return names[text]
    if not text.isdecimal():
        raise ValueError(f"{text} is no value of a cron field that is built here")
    return int(text)
