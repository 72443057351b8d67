"""The end of a demo as a person wants to read it, and the bars that `predict` draws."""

from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from kennel import tuning
from kennel.local.prediction import Guess

BAR = 32
Document = dict[str, Any]


def guesses(found: list[Guess]) -> RenderableType:
    """Labels with their probabilities as bars."""
    return _bars(
        [(guess.label.replace("_", " "), guess.probability, f"{guess.probability:6.1%}") for guess in found], 1.0
    )


def show(console: Console, report: Document, page: Path, login: str, photo: str) -> None:
    """Print the summary of a report; `page` is for a browser, `login` Airflow's, `photo` one to ask about next."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    for name, value in _facts(report, login):
        table.add_row(name, value)
    console.print()
    console.print(table)
    console.print()
    console.print(Text("Where the time went", style="bold"))
    console.print(_times(report))
    console.print()
    console.print(Text("Next", style="bold"))
    look = f"open {page.as_uri()} in a browser: the run's report"
    for step in (look, f"kennel predict {photo}", "kennel status", "kennel logs retrain.tune", "kennel down"):
        console.print(f"  {step}", soft_wrap=True, highlight=False)


def _facts(report: Document, login: str) -> list[tuple[str, RenderableType]]:
    tuned, model, scaling = report["tuning"], report["model"], report["autoscaling"]
    best, settings = tuned["best"], tuning.readable(tuned["best"]["hyperparameters"])
    endpoint, function, photo = report["endpoint"], report["function"], report["prediction"]
    held_back = [] if report["deploy"] else [("Held back", f"the model before stays in service: {model['why']}")]
    return [
        ("Best trial", f"{settings} (objective {best['objective']:.4f}, of {len(tuned['trials'])} trials)"),
        (
            "Accuracy",
            f"top-1 {model['top1']:.1%}, top-5 {model['top5']:.1%} of the test photos, {model['classes']} classes",
        ),
        ("Model", str(model["package_arn"])),
        *held_back,
        ("Cost", f"{model['usd']:.4f} USD, at AWS's prices for these {model['billable_seconds']} seconds of jobs"),
        ("Endpoint", f"{endpoint['name']} {endpoint['status']}, instances: {endpoint['instances']}"),
        (
            "Scaling",
            f"{scaling['min']} to {scaling['max']} instances, {scaling['target']:g} invocations an instance and minute",
        ),
        (
            "Function",
            f"{function['name']}:{function['alias']}, version {function['version']}, "
            f"provisioned concurrency {function['provisioned_concurrency']}",
        ),
        ("Photo", f"{photo['photo']}, which is a {photo['expected'].replace('_', ' ')}"),
        ("", guesses([Guess(**guess) for guess in photo["top"]])),
        ("Airflow", f"{report['airflow']['url']}  {login}"),
    ]


def _times(report: Document) -> RenderableType:
    runs = [run for run in (report["retrain"], report["deploy"]) if run]
    tasks = [(task["task_id"], task["seconds"], f"{task['seconds']:6.1f} s") for run in runs for task in run["tasks"]]
    before = report["seconds"] - sum(run["seconds"] for run in runs)
    rows = [("start, and between tasks", before, f"{before:6.1f} s"), *tasks]
    total = Text(f"{report['seconds']:.0f} s in all", style="bold")
    return Group(_bars(rows, max(seconds for _, seconds, _ in rows)), total)


def _bars(rows: list[tuple[str, float, str]], most: float) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value, label in rows:
        table.add_row(name, Text("█" * round(BAR * value / most) or "▏", style="cyan"), label)
    return table
