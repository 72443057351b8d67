import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import Figure
from benchmarks.page import page

DOCS = Path(__file__).parents[3] / "docs"


def results(figure: dict[str, Any]) -> dict[str, Any]:
    whole = {
        "name": "speed",
        "measured": "photos a second",
        "value": 2.34567,
        "unit": "times",
        "goal": 3,
        "better": "more",
        "limits": "one core",
        "detail": {"ours, s": 1.23456, "each": [0.5, 1.0]},
        "reached": False,
    }
    run = {"date": "2026-11-26T05:00+00:00", "machine": "2 cores of a processor", "figures": [{**whole, **figure}]}
    return {"embedding": run}


def test_a_figure_stands_beside_its_goal() -> None:
    assert "| speed | 2.35 times | at least 3 times | **missed** |" in page(results({}))
    assert "| speed | 2.35 times | at most 3 times | reached |" in page(results({"better": "less", "reached": True}))


def test_a_missed_goal_says_what_limits_it() -> None:
    assert "Missed: one core" in page(results({}))
    assert "Missed" not in page(results({"reached": True}))


def test_a_figure_without_a_goal_is_told_in_its_part_only() -> None:
    text = page(results({"goal": None, "reached": True}))
    assert "| speed |" not in text
    assert "**speed**: 2.35 times; photos a second." in text


def test_says_how_where_and_when_it_was_measured() -> None:
    text = page(results({}))
    assert "`python -m benchmarks.embedding`, 2026-11-26T05:00+00:00, 2 cores of a processor." in text
    assert "- ours, s: 1.23" in text
    assert "- each: 0.5, 1" in text


def test_the_page_in_docs_is_that_of_the_figures() -> None:
    assert (DOCS / "performance.md").read_text() == page(json.loads((DOCS / "performance.json").read_text()))


@pytest.mark.parametrize(
    ("value", "goal", "better", "reached"),
    [(2, 3, "less", True), (3, 3, "less", True), (4, 3, "less", False), (4, 3, "more", True), (1, None, "less", True)],
)
def test_knows_whether_a_goal_is_reached(value: float, goal: float | None, better: Any, reached: bool) -> None:
    assert Figure("speed", "photos a second", value, "times", goal, better).reached is reached
