import io
from pathlib import Path

from rich.console import Console

from kennel.local import summary
from kennel.local.prediction import Guess

REPORT = {
    "retrain": {"seconds": 60.0, "tasks": [{"task_id": "embed", "state": "success", "seconds": 40.0}]},
    "deploy": {"seconds": 20.0, "tasks": [{"task_id": "smoke_test", "state": "success", "seconds": 10.0}]},
    "tuning": {
        "trials": [{}, {}],
        "best": {"hyperparameters": {"learning_rate": "0.0123456789", "batch_size": "32"}, "objective": 0.25},
    },
    "model": {
        "package_arn": "arn:model",
        "top1": 0.9,
        "top5": 1.0,
        "classes": 12,
        "why": "30.0% of 50 test photos are right.",
        "billable_seconds": 120,
        "usd": 0.0123,
    },
    "endpoint": {"name": "kennel-dogs", "status": "InService", "config": "c", "instances": 1},
    "autoscaling": {"min": 1, "max": 2, "target": 30.0},
    "function": {"name": "kennel-dogs", "alias": "live", "version": "3", "provisioned_concurrency": 1},
    "prediction": {
        "photo": "dt=2026-11-01/test/001.Pug/a.jpg",
        "expected": "Great_pyrenees",
        "top": [{"label": "Great_pyrenees", "probability": 0.75}, {"label": "Pug", "probability": 0.25}],
    },
    "airflow": {"url": "http://127.0.0.1:8080"},
    "seconds": 100.0,
}


def printed(report: dict[str, object]) -> str:
    output = io.StringIO()
    page = Path("/home/me/.kennel/report.html")
    summary.show(Console(file=output, width=120), report, page, "user admin, password word", "photos/a.jpg")
    return output.getvalue()


def test_bars_are_as_long_as_what_they_stand_for() -> None:
    output = io.StringIO()
    Console(file=output, width=120).print(summary.guesses([Guess("Great_pyrenees", 0.75), Guess("Pug", 0.25)]))
    first, second = output.getvalue().splitlines()
    assert first.startswith("Great pyrenees")
    assert (first.count("█"), second.count("█")) == (24, 8)
    assert "75.0%" in first


def test_the_end_says_what_a_person_wants_to_know() -> None:
    text = printed(REPORT)
    for part in (
        "batch_size 32, learning_rate 0.01235 (objective 0.2500, of 2 trials)",
        "top-1 90.0%, top-5 100.0% of the test photos, 12 classes",
        "0.0123 USD, at AWS's prices for these 120 seconds of jobs",
        "1 to 2 instances, 30 invocations an instance and minute",
        "kennel-dogs:live, version 3, provisioned concurrency 1",
        "which is a Great pyrenees",
        "open file:///home/me/.kennel/report.html in a browser",
        "http://127.0.0.1:8080  user admin, password word",
        "100 s in all",
        "kennel predict photos/a.jpg",
    ):
        assert part in text
    assert "Held back" not in text


def test_a_model_that_was_held_back_is_said_to_be() -> None:
    text = printed({**REPORT, "deploy": None})
    assert "Held back" in text
    assert "30.0% of 50 test photos are right." in text
