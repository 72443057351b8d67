from typing import Any

import pytest

from kennel.costs import Billed
from kennel.names import Names
from kennel.reports import markdown, run_report

CHOSEN: dict[str, Any] = {
    "run": "dogs-2",
    "cutoff": "2026-11-22T03:00:00+00:00",
    "made_of": {"snapshot": "abc", "compute": "sagemaker"},
    "photos": {"train": 60, "valid": 12, "test": 12},
    "days": {"first": "2026-10-04", "last": "2026-11-22", "count": 8},
    "duplicates": 3,
    "champion": {"arn": "arn:1", "run": "dogs-1", "model_data": "s3://b/m"},
}
EVALUATION: dict[str, Any] = {
    "photos": 12,
    "top1": 0.75,
    "top5": 1.0,
    "classes": 4,
    "champion": {"top1": 0.5, "only_model": 4, "only_champion": 1, "unknown": 0, "per_class": {}},
}
BILLED = [Billed("embed", "ml.c5.2xlarge", 0), Billed("train", "ml.m5.xlarge", 3600)]
AT = Names("dogs", "123456789012", "us-east-1")
PRICES = {"ml.c5.2xlarge": 0.408, "ml.m5.xlarge": 0.23}


def report(**changed: Any) -> dict[str, Any]:
    return run_report(AT, CHOSEN, {**EVALUATION, **changed}, "promote", "Good.", BILLED, PRICES)


def test_adds_up_what_the_stages_have_cost() -> None:
    found = report()
    assert [(stage["stage"], stage["billable_seconds"], stage["usd"]) for stage in found["costs"]] == [
        ("embed", 0, 0.0),
        ("train", 3600, 0.23),
    ]
    assert (found["billable_seconds"], found["usd"]) == (3600, pytest.approx(0.23))


def test_the_page_says_why_what_it_was_trained_on_and_how_it_compares() -> None:
    page = markdown(report())
    for line in (
        "# dogs-2: promote",
        "Good.",
        "It knows 60 training photos of 4 classes, dated from 2026-10-04 to 2026-11-22 (snapshot abc, cutoff "
        "2026-11-22; 3 duplicates left out).",
        "| of 12 test photos | this model | the champion, dogs-1 |",
        "| right at first guess | 75.0% | 50.0% |",
        "| right only by this one | 4 | 1 |",
        "| train | ml.m5.xlarge | 3600 | 0.2300 |",
        "| all | | 3600 | 0.2300 |",
        "Each class, the confusion matrix, the worst mistakes and more: "
        "s3://kennel-dogs-123456789012-us-east-1/runs/dogs/dogs-2/report/report.html",
    ):
        assert line in page.splitlines()


def test_without_a_champion_there_is_nothing_to_compare() -> None:
    found = report(champion=None)
    assert found["champion"] is None
    assert "champion" not in markdown(found)
