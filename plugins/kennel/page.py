"""A run's report as one page for a browser: all in one file, it asks nothing of any server and runs no script."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from kennel import charts
from kennel.judging import interval
from kennel.tuning import Trial

TEMPLATE = Path(__file__).with_name("page.html")
OUTCOMES = {"promote": "Promoted", "ask": "A person decides", "hold": "Held back"}
DIFFERENT = 12  # classes, and pairs of classes, that are named
LARGEST_MATRIX = 200  # classes; a browser has a cell for each pair

Document = dict[str, Any]


@dataclass(frozen=True)
class Class:
    """A class as the model and the champion, if there is one, did on its test photos; shares, and a 95 % interval."""

    label: str
    photos: int
    top1: float
    interval: tuple[float, float]
    champion: float | None

    @property
    def gained(self) -> int:
        """How many photos more than the champion the model gets right."""
        return 0 if self.champion is None else round((self.top1 - self.champion) * self.photos)


def render(report: Document, evaluation: Document, trials: list[Trial], objective: str) -> str:
    """The page of a run's report, of its evaluation, and of its trials, the chosen one first; none were on EC2."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": "{:.1%}".format, "words": words, "short": short}
    classes = sorted(_classes(evaluation), key=lambda one: (one.top1, -one.photos, one.label))
    return environment.from_string(TEMPLATE.read_text()).render(
        run=report,
        evaluation=evaluation,
        outcome=OUTCOMES[report["outcome"]],
        intervals={name: interval(evaluation[name], evaluation["photos"]) for name in ("top1", "top5")},
        classes=classes,
        different=sorted((one for one in classes if one.gained), key=lambda one: -abs(one.gained))[:DIFFERENT],
        rows=_matrix(evaluation["confusion"]) if len(evaluation["confusion"]["labels"]) <= LARGEST_MATRIX else [],
        pairs=_pairs(evaluation["confusion"])[:DIFFERENT],
        trials=trials,
        objective=objective,
        tuned=sorted({name for trial in trials for name in trial.hyperparameters}),
        reliability=charts.reliability(evaluation["calibration"]),
        curves=charts.learning_curves(evaluation["training"]),
    )


def words(label: str) -> str:
    """A label as a person writes it."""
    return label.replace("_", " ")


def short(value: Any) -> str:
    """A fraction, or the text of one, with four digits; anything else as it is."""
    try:
        return str(value) if float(value).is_integer() else f"{float(value):.4g}"
    except ValueError:
        return str(value)


def _classes(evaluation: Document) -> Iterator[Class]:
    champion = evaluation["champion"]
    for label, found in evaluation["per_class"].items():
        before = champion["per_class"][label]["top1"] if champion else None
        yield Class(label, found["photos"], found["top1"], interval(found["top1"], found["photos"]), before)


def _matrix(confusion: Document) -> list[tuple[str, list[tuple[int, float]]]]:
    """Of each class its label and, for each answer, how many photos and which share of the class's."""
    size = len(confusion["labels"])
    counts = [[0] * size for _ in range(size)]
    for truth, guess, count in confusion["counts"]:
        counts[truth][guess] = count
    return [
        (label, [(count, count / max(1, sum(row))) for count in row])
        for label, row in zip(confusion["labels"], counts, strict=True)
    ]


def _pairs(confusion: Document) -> list[tuple[str, str, int]]:
    """The class, what it was taken for, and how many photos; the most first."""
    labels = confusion["labels"]
    wrong: Iterable[list[int]] = (pair for pair in confusion["counts"] if pair[0] != pair[1])
    return [(labels[truth], labels[guess], count) for truth, guess, count in sorted(wrong, key=lambda pair: -pair[2])]
