"""The page of a run, as text and as a browser shows it."""

import base64
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kennel.page import render
from kennel.tuning import Trial
from tests.e2e.browser import CHROMIUM, Page, opened

HOSTILE = "<script>document.title='run'</script><img_src=x_onerror=document.title='run'>"
SHOWN = HOSTILE.replace("_", " ")


def jpeg() -> str:
    content = io.BytesIO()
    Image.new("RGB", (160, 160), "brown").save(content, "JPEG")
    return base64.b64encode(content.getvalue()).decode()


def evaluation(labels: list[str]) -> dict[str, Any]:
    """Ten photos a class; of the class n, n are taken for the class after it, by the model but not by the champion."""
    wrong = [min(index, 10) for index in range(len(labels))]
    counts = [[index, index, 10 - missed] for index, missed in enumerate(wrong)]
    counts += [[index, (index + 1) % len(labels), missed] for index, missed in enumerate(wrong) if missed]
    per_class = {label: {"photos": 10, "top1": (10 - missed) / 10} for label, missed in zip(labels, wrong, strict=True)}
    empty = {"count": 0, "confidence": None, "accuracy": None}
    return {
        "photos": 10 * len(labels),
        "classes": len(labels),
        "top1": 0.75,
        "top5": 0.9,
        "per_class": per_class,
        "calibration": {"bins": [*[empty] * 14, {"count": 40, "confidence": 0.95, "accuracy": 0.75}], "ece": 0.2},
        "confusion": {"labels": labels, "counts": counts},
        "mistakes": [
            {"photo": "a.jpg", "truth": labels[1], "guess": labels[2], "probability": 0.987, "thumbnail": jpeg()}
        ],
        "training": {
            "epoch": 2,
            "temperature": 1.25,
            "history": [{"train_loss": 1.0, "valid_loss": 0.9, "valid_accuracy": 0.5}] * 3,
            "hyperparameters": {"backbone": "resnet50", "learning_rate": 0.00123456},
        },
        "unreadable": [],
        "champion": {
            "top1": 0.8,
            "only_model": 1,
            "only_champion": 6,
            "unknown": 10,
            "per_class": {label: {"photos": 10, "top1": 1.0} for label in labels},
        },
    }


def run(evaluation: dict[str, Any]) -> dict[str, Any]:
    return {
        "run": "dogs-2",
        "cutoff": "2026-11-22T03:00:00+00:00",
        "made_of": {"snapshot": "abc", "backbone": "resnet50"},
        "photos": {"train": 60, "valid": 12, "test": 40},
        "days": {"first": "2026-10-04", "last": "2026-11-22"},
        "duplicates": 3,
        "outcome": "hold",
        "why": "It loses to the champion.",
        "champion": evaluation["champion"] and {"run": "dogs-1", **evaluation["champion"]},
        "costs": [{"stage": "train", "instance_type": "ml.m5.xlarge", "billable_seconds": 3600, "usd": 0.23}],
        "billable_seconds": 3600,
        "usd": 0.23,
    }


LABELS = ["Akita", "Great_pyrenees", HOSTILE, "Pug"]
TRIALS = [
    Trial("dogs-2-007-abc", "Completed", 0.5, {"learning_rate": "0.00123456"}),
    Trial("dogs-2-001-abc", "Failed", None, {"learning_rate": "0.1"}),
]


def page(labels: list[str] = LABELS, trials: list[Trial] = TRIALS, **changed: Any) -> str:
    content = {**evaluation(labels), **changed}
    return render(run(content), content, trials, "valid_loss")


class Reader(HTMLParser):
    """What a page is made of: its elements with their attributes, and each table's rows as text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_cell:
            self.rows[-1][-1] += data.strip()

    def row(self, *first: str) -> list[str]:
        """The first row that begins with these cells."""
        return next(row for row in self.rows if row[: len(first)] == [*first])


@pytest.fixture(scope="module")
def read() -> Reader:
    return Reader(page())


def test_says_the_outcome_why_and_what_it_cost(read: Reader) -> None:
    for part in ("dogs-2", "Held back", "It loses to the champion.", "0.23 USD", "3600 billable seconds"):
        assert part in read.text
    assert read.row("train") == ["train", "ml.m5.xlarge", "3600", "0.2300"]


def test_the_accuracies_have_their_intervals(read: Reader) -> None:
    text = " ".join(read.text.split())
    assert "top-1, the first guess75.0% 95% interval: 59.8% to 85.8%" in text
    assert "top-5, the first five90.0% 95% interval: 76.9% to 96.0%" in text


def test_the_worst_class_comes_first(read: Reader) -> None:
    at = next(index for index, row in enumerate(read.rows) if row[:2] == ["class", "photos"])
    assert [row[0] for row in read.rows[at + 1 : at + 5]] == ["Pug", SHOWN, "Great pyrenees", "Akita"]
    assert read.rows[at + 1] == ["Pug", "10", "70.0%", "", "39.7% to 89.2%", "100.0%"]


def test_compares_with_the_champion_where_they_differ(read: Reader) -> None:
    assert " photos, of which the champion does not know the classes of 10." in read.text
    assert read.row("right at first guess") == ["right at first guess", "75.0%", "80.0%"]
    assert read.row("right only by this one") == ["right only by this one", "1", "6"]
    assert read.row("Pug", "70.0%") == ["Pug", "70.0%", "100.0%", "-3"]
    assert not [row for row in read.rows if row[:2] == ["Akita", "100.0%"]]


def test_what_was_taken_for_what_is_counted(read: Reader) -> None:
    assert read.row("Pug", "Akita") == ["Pug", "Akita", "3"]
    matrix = [row for row in read.rows if len(row) == 5 and row[0] in ("Akita", "Pug")][-2:]
    assert matrix == [["Akita", "10", "", "", ""], ["Pug", "3", "", "", "7"]]


@pytest.mark.parametrize(("classes", "drawn"), [(200, True), (201, False)])
def test_more_classes_than_a_browser_shows_have_their_pairs_only(classes: int, drawn: bool) -> None:
    text = page([f"Breed_{number:03}" for number in range(classes)])
    assert ("a row for each class" in text) == drawn
    assert Reader(text).row("Breed 010", "Breed 011") == ["Breed 010", "Breed 011", "10"]


def test_the_mistakes_are_shown_with_their_probability(read: Reader) -> None:
    assert f"Great pyrenees{SHOWN}, 98.7%" in read.text
    (shown,) = [attributes["src"] for tag, attributes in read.elements if tag == "img"]
    assert shown == f"data:image/jpeg;base64,{jpeg()}"


def test_the_chosen_trial_is_marked(read: Reader) -> None:
    assert read.row("Chosen") == ["Chosen", "0.5000", "0.001235", "dogs-2-007-abc"]
    assert read.row("Failed") == ["Failed", "", "0.1", "dogs-2-001-abc"]


def test_the_charts_take_the_pages_colours(read: Reader) -> None:
    assert len([tag for tag, _ in read.elements if tag == "svg"]) == 2
    drawn = [attributes["style"] for tag, attributes in read.elements if tag == "path" and "style" in attributes]
    assert any("var(--model)" in style for style in drawn)
    assert not [style for style in drawn if re.search("#[0-9a-f]{6}", style)]
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_first_model_trained_on_ec2_has_no_champion_and_no_trials() -> None:
    text = Reader(page(trials=[], champion=None)).text
    assert "Against the champion" not in text
    assert "The trials" not in text


def test_a_model_without_mistakes_has_none_to_show() -> None:
    assert "The worst mistakes" not in page(mistakes=[])


def test_asks_nothing_of_any_server_and_has_no_script(read: Reader) -> None:
    policies = [attributes["content"] for tag, attributes in read.elements if "http-equiv" in attributes]
    assert policies == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    ]
    assert not {tag for tag, _ in read.elements} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for _, attributes in read.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("data:image/", "#"))
    assert not re.findall(r"url\((?!#)|@import", page())


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if not CHROMIUM:
        pytest.skip("there is no chromium")
    with opened(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("classes", [4, 133])
def test_fits_its_window_and_runs_nothing(browser: Page, tmp_path: Path, width: int, classes: int) -> None:
    file = tmp_path / "report.html"
    file.write_text(page([*LABELS, *(f"Nova_scotia_retriever_{number}" for number in range(4, classes))]))
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=True)
    browser.call("Page.navigate", url=file.as_uri())
    browser.wait_for(f"location.href == '{file.as_uri()}' && document.readyState == 'complete'")
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate("document.title") == "dogs-2: Held back"
    assert browser.evaluate("performance.getEntriesByType('resource').every(one => one.name.startsWith('data:'))")
    assert browser.evaluate("document.images[0].naturalWidth") == 160
