"""How many instances a metric asks for."""

import pytest

from localaws.target_tracking import desired

QUIET = [0.0] * 15


@pytest.mark.parametrize(
    ("alarm", "points", "count", "wanted"),
    [
        ("High", [*QUIET[3:], 31, 31, 90], 1, 3),  # to where the last minute would have met the target
        ("High", [*QUIET[3:], 31, 31, 90, None], 1, 3),  # the last one that has data
        ("High", [*QUIET[3:], 31, 31, 10], 2, 2),  # never in
        ("Low", [*[10.0] * 14, 20.0], 3, 2),  # to where the busiest minute would have met the target
        ("Low", QUIET, 3, 0),  # the bounds of the scalable target hold it up
        (None, [90.0] * 15, 2, 2),
        ("High", [], 2, 2),
    ],
)
def test_asks_for_what_would_meet_the_target(
    alarm: str | None, points: list[float | None], count: int, wanted: int
) -> None:
    assert desired(alarm, points, 30, count) == wanted
