"""How many instances a metric asks for."""

import pytest

from localaws.target_tracking import desired

QUIET = [0.0] * 15


@pytest.mark.parametrize(
    ("points", "count", "wanted"),
    [
        ([*QUIET[3:], 31, 31, 90], 1, 3),  # out, to where the last minute would have met the target
        ([*QUIET[3:], 31, 30, 90], 1, 1),  # one of the three did not exceed it
        ([*QUIET[3:], 31, None, 90], 1, 1),  # nor does a minute without data
        ([20.0] * 15, 3, 2),  # in, to where the busiest minute would have met the target
        ([*[20.0] * 14, 27], 3, 3),  # not below nine tenths of the target throughout
        ([None, *[20.0] * 14], 3, 3),  # fourteen minutes are not fifteen
        (QUIET, 3, 0),  # the bounds of the scalable target hold it up
        ([], 2, 2),
    ],
)
def test_asks_for_what_would_meet_the_target(points: list[float | None], count: int, wanted: int) -> None:
    assert desired(points, 30, count) == wanted
