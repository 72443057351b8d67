import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset import Photo
from measures import THUMBNAIL, Answers, calibration, compare, confusion, mistakes, report

MakeAnswers = Callable[[list[list[float]], list[int]], Answers]


@pytest.fixture
def answers(tmp_path: Path) -> MakeAnswers:
    """Answers of these scores about photos of these classes; the photo of class 1 is green, all others are red."""

    def make(scores: list[list[float]], truth: list[int]) -> Answers:
        photos = []
        for index, label in enumerate(truth):
            path = tmp_path / f"{index}.jpg"
            Image.new("RGB", (300, 200), "green" if label == 1 else "red").save(path)
            photos.append(Photo(path, f"dt=2026-11-22/test/{index}.jpg", "001.Pug"))
        labels = [f"Breed_{index}" for index in range(len(scores[0]))]
        return Answers(photos, np.array(scores), np.array(truth), labels, ["broken.jpg"], {"epoch": 3})

    return make


def sure(*probabilities: float) -> list[list[float]]:
    """Scores of two classes, each answer class 0 with this probability."""
    return [[float(np.log(probability / (1 - probability))), 0.0] for probability in probabilities]


def test_counts_right_answers(answers: MakeAnswers) -> None:
    scores = [
        [3.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        [9.0, 8.0, 7.0, 6.0, 5.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0],
    ]
    content = report(answers(scores, [0, 2, 6, 5]))
    assert (content["photos"], content["classes"], content["top1"], content["top5"]) == (4, 7, 0.5, 0.75)
    assert content["per_class"] == {
        "Breed_0": {"photos": 1, "top1": 1.0},
        "Breed_2": {"photos": 1, "top1": 0.0},
        "Breed_5": {"photos": 1, "top1": 1.0},
        "Breed_6": {"photos": 1, "top1": 0.0},
    }
    probability = np.exp(5) / (np.exp(5) + 6)
    assert content["samples"][0] == {
        "photo": "dt=2026-11-22/test/3.jpg",
        "label": "Breed_5",
        "probability": pytest.approx(probability),
    }
    assert [sample["label"] for sample in content["samples"]] == ["Breed_5", "Breed_0"]
    assert content["unreadable"] == ["broken.jpg"]
    assert content["training"] == {"epoch": 3}


def test_samples_are_of_different_classes(answers: MakeAnswers) -> None:
    content = report(answers([[9.0, 0.0], [8.0, 0.0], [0.0, 1.0]], [0, 0, 1]))
    assert [sample["photo"] for sample in content["samples"]] == [
        "dt=2026-11-22/test/0.jpg",
        "dt=2026-11-22/test/2.jpg",
    ]


def test_has_no_samples_when_no_answer_was_right(answers: MakeAnswers) -> None:
    content = report(answers([[1.0, 0.0], [1.0, 0.0]], [1, 1]))
    assert (content["top1"], content["top5"], content["samples"]) == (0, 1, [])
    json.dumps(content)


def test_scores_of_any_size_make_probabilities(answers: MakeAnswers) -> None:
    assert report(answers([[1000.0, 0.0]], [0]))["samples"][0]["probability"] == 1


def test_the_calibration_error_is_the_gap_between_sure_and_right_weighed_by_photos(answers: MakeAnswers) -> None:
    # Of the four answers at 90 % three are right, of the two at 60 % none.
    found = calibration(answers(sure(0.9, 0.9, 0.9, 0.9, 0.6, 0.6), [0, 0, 0, 1, 1, 1]))
    assert [number for number, bin_ in enumerate(found["bins"]) if bin_["count"]] == [8, 13]
    assert found["bins"][13] == {"count": 4, "confidence": pytest.approx(0.9), "accuracy": 0.75}
    assert found["bins"][8] == {"count": 2, "confidence": pytest.approx(0.6), "accuracy": 0.0}
    assert found["bins"][0] == {"count": 0, "confidence": None, "accuracy": None}
    assert found["ece"] == pytest.approx((4 * 0.15 + 2 * 0.6) / 6)


def test_a_certain_answer_is_in_the_last_bin(answers: MakeAnswers) -> None:
    found = calibration(answers([[1000.0, 0.0]], [0]))
    assert (len(found["bins"]), found["bins"][14]["count"], found["ece"]) == (15, 1, 0.0)


def test_the_confusion_names_only_what_has_happened(answers: MakeAnswers) -> None:
    scores = [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    assert confusion(answers(scores, [0, 1, 1, 1])) == {
        "labels": ["Breed_0", "Breed_1", "Breed_2"],
        "counts": [[0, 0, 1], [1, 0, 1], [1, 2, 2]],
    }


def test_the_worst_mistakes_are_the_surest_wrong_answers_with_what_the_model_saw(answers: MakeAnswers) -> None:
    found = mistakes(answers(sure(0.99, 0.8, 0.95, 0.6), [0, 1, 1, 1]))
    assert [(one["photo"][-5:], one["truth"], one["guess"]) for one in found] == [
        ("2.jpg", "Breed_1", "Breed_0"),
        ("1.jpg", "Breed_1", "Breed_0"),
        ("3.jpg", "Breed_1", "Breed_0"),
    ]
    assert [one["probability"] for one in found] == [pytest.approx(probability) for probability in (0.95, 0.8, 0.6)]
    with Image.open(io.BytesIO(base64.b64decode(found[0]["thumbnail"]))) as image:
        assert (image.format, image.size) == ("JPEG", (THUMBNAIL, THUMBNAIL))
        red, green, blue = np.asarray(image)[80, 80]
    assert (red < 10, 120 < green < 136, blue < 10) == (True, True, True)


def test_twelve_mistakes_are_enough(answers: MakeAnswers) -> None:
    assert len(mistakes(answers(sure(*[0.7] * 14), [1] * 14))) == 12


def test_compares_with_the_champion_photo_by_photo(answers: MakeAnswers) -> None:
    ours = answers([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [0, 0, 0, 1])
    theirs = answers([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [0, -1, 0])  # could not read the fourth
    assert compare(ours, theirs) == {
        "top1": 0.5,
        "only_model": 2,
        "only_champion": 1,
        "unknown": 1,
        "per_class": {"Breed_0": {"photos": 3, "top1": 2 / 3}, "Breed_1": {"photos": 1, "top1": 0.0}},
    }
