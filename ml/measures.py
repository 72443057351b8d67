"""What the answers to the test photos say of a model: how often it is right, how sure it is, what it takes for what."""

import base64
import io
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset import Photo
from photos import centre_crop, read_photo

SAMPLES = 5
BINS = 15
MISTAKES = 12
THUMBNAIL = 160  # pixels


@dataclass(frozen=True)
class Answers:
    """The photos the model answered: scores (n, classes) and the index of each one's class (n,).

    `training` is the archive's model.json.
    """

    photos: list[Photo]
    scores: NDArray[np.float64]
    truth: NDArray[np.int64]
    labels: list[str]
    unreadable: list[str]
    training: dict[str, Any]

    @cached_property
    def guess(self) -> NDArray[np.int64]:
        """The class with the highest score (n,)."""
        guess: NDArray[np.int64] = self.scores.argmax(1)
        return guess

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether that is the photo's class (n,)."""
        right: NDArray[np.bool_] = self.guess == self.truth
        return right

    @cached_property
    def certainty(self) -> NDArray[np.float64]:
        """The highest probability (n,): the softmax of the scores."""
        exponentials = np.exp(self.scores - self.scores.max(1, keepdims=True))
        highest: NDArray[np.float64] = (exponentials / exponentials.sum(1, keepdims=True)).max(1)
        return highest


def report(answers: Answers) -> dict[str, Any]:
    """All measures of one model's answers, as `report.json` has them."""
    order = np.argsort(-answers.scores, axis=1)
    return {
        "photos": len(answers.photos),
        "classes": len(answers.labels),
        "top1": float(answers.right.mean()),
        "top5": float((order[:, :5] == answers.truth[:, None]).any(1).mean()),
        "per_class": per_class(answers, answers.right),
        "calibration": calibration(answers),
        "confusion": confusion(answers),
        "samples": samples(answers),
        "mistakes": mistakes(answers),
        "training": answers.training,
        "unreadable": answers.unreadable,
        "champion": None,
    }


def per_class(answers: Answers, right: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    """How many photos of each class there are, and which share of them is right."""
    return {
        answers.labels[index]: {
            "photos": int((answers.truth == index).sum()),
            "top1": float(right[answers.truth == index].mean()),
        }
        for index in np.unique(answers.truth)
    }


def calibration(answers: Answers) -> dict[str, Any]:
    """How sure the answers are and how often they are right, by 15 bins of equal width of the highest probability.

    A bin is open below and closed above. `ece`, the expected calibration error, is the mean distance between the two,
    each bin counting by its photos (Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017, arXiv:1706.04599). The means
    of an empty bin are None.
    """
    numbers = np.digitize(answers.certainty, np.arange(1, BINS) / BINS, right=True)
    counts = np.bincount(numbers, minlength=BINS)
    sure = np.bincount(numbers, answers.certainty, BINS)
    right = np.bincount(numbers, answers.right, BINS)
    return {
        "bins": [
            {
                "count": int(count),
                "confidence": float(sure[number] / count) if count else None,
                "accuracy": float(right[number] / count) if count else None,
            }
            for number, count in enumerate(counts)
        ],
        "ece": float(np.abs(sure - right).sum() / len(answers.photos)),
    }


def confusion(answers: Answers) -> dict[str, Any]:
    """What was taken for what, right answers included: [index of the class, index of the answer, photos] each."""
    pairs, counts = np.unique(np.stack([answers.truth, answers.guess], 1), axis=0, return_counts=True)
    return {"labels": answers.labels, "counts": np.column_stack([pairs, counts]).tolist()}


def samples(answers: Answers) -> list[dict[str, Any]]:
    """The surest right answers, one a class, the surest first; none when no answer was right."""
    surest: dict[int, int] = {}
    for index in np.argsort(-answers.certainty, kind="stable"):
        if answers.right[index]:
            surest.setdefault(int(answers.truth[index]), int(index))
    return [
        {
            "photo": answers.photos[index].name,
            "label": answers.labels[label],
            "probability": float(answers.certainty[index]),
        }
        for label, index in list(surest.items())[:SAMPLES]
    ]


def mistakes(answers: Answers) -> list[dict[str, Any]]:
    """The surest wrong answers, the surest first, each with the part of the photo that the model has seen."""
    surest = [index for index in np.argsort(-answers.certainty, kind="stable") if not answers.right[index]]
    return [
        {
            "photo": answers.photos[index].name,
            "truth": answers.labels[answers.truth[index]],
            "guess": answers.labels[answers.guess[index]],
            "probability": float(answers.certainty[index]),
            "thumbnail": thumbnail(answers.photos[index]),
        }
        for index in surest[:MISTAKES]
    ]


def thumbnail(photo: Photo) -> str:
    """The photo's centred square as a small JPEG, in base64."""
    square = Image.fromarray(centre_crop(read_photo(photo.path.read_bytes(), THUMBNAIL), THUMBNAIL))
    content = io.BytesIO()
    square.save(content, "JPEG", quality=80)
    return base64.b64encode(content.getvalue()).decode()


def compare(answers: Answers, champion: Answers) -> dict[str, Any]:
    """The champion's accuracies on the same photos, and how many only one of the two gets right.

    What the champion cannot read, or is of a class that it does not know, it gets wrong; `unknown` counts the latter.
    """
    known = {photo.name: bool(right) for photo, right in zip(champion.photos, champion.right, strict=True)}
    theirs = np.array([known.get(photo.name, False) for photo in answers.photos])
    return {
        "top1": float(theirs.mean()),
        "only_model": int((answers.right & ~theirs).sum()),
        "only_champion": int((theirs & ~answers.right).sum()),
        "unknown": int((champion.truth < 0).sum()),
        "per_class": per_class(answers, theirs),
    }
