"""Judges the trained model on the test photos, through the very code that will serve it.

A SageMaker processing job: `python3 /opt/ml/processing/input/code/evaluate.py`.

Reads `input/model/model.tar.gz` and the photos of `input/test`; sends each photo's bytes through the functions of the
archive's own `code/inference.py`; writes `report.json` and `confusion.png` to `output/`.
"""

import importlib
import json
import os
import sys
import tarfile
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from confusion import draw
from dataset import Photo, find_photos
from job import BASE, MESSAGE, JobError, run

INPUT = BASE / "processing/input"
OUTPUT = BASE / "processing/output"

CONTENT_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}


@dataclass(frozen=True)
class Answers:
    """The photos the model answered: scores (n, classes) and the index of each one's class (n,)."""

    photos: list[Photo]
    scores: NDArray[np.float64]
    truth: NDArray[np.int64]
    labels: list[str]
    unreadable: list[str]


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks model.tar.gz; nothing in it can land outside the folder. Raises JobError."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(folder, filter="data")
    except FileNotFoundError:
        raise JobError(f"{archive} is missing: the model input must be the training job's model.tar.gz") from None
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise JobError(f"{archive} cannot be unpacked, train again: {error}") from error
    if not (folder / "code/inference.py").is_file():
        raise JobError(f"{archive} has no code/inference.py: it is a trial's; evaluate what the final training wrote")


def ask(folder: Path, photos: list[Photo]) -> Answers:
    """Every photo's scores by the model unpacked in the folder. Raises JobError."""
    sys.path.insert(0, str(folder / "code"))
    inference: Any = importlib.import_module("inference")
    model = inference.model_fn(str(folder))
    classes: list[str] = json.loads((folder / "classes.json").read_text())
    if unknown := sorted({photo.class_name for photo in photos} - set(classes)):
        raise JobError(f"{', '.join(unknown)}: test photos of classes the model was not trained on; train it on them")

    def answer(photo: Photo) -> dict[str, Any] | None:
        try:
            data = inference.input_fn(photo.path.read_bytes(), CONTENT_TYPES[photo.path.suffix.lower()])
            content: dict[str, Any] = json.loads(
                inference.output_fn(inference.predict_fn(data, model), "application/json")
            )
        except inference.RequestError as error:
            print(f"left out {photo.name}: {error}", flush=True)
            return None
        return content

    with ThreadPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        answers = list(pool.map(answer, photos))
    answered = [(photo, content) for photo, content in zip(photos, answers, strict=True) if content]
    if not answered:
        raise JobError(f"none of the {len(photos)} test photos can be read: replace them")
    return Answers(
        photos=[photo for photo, _ in answered],
        scores=np.array([content["scores"][0] for _, content in answered]),
        truth=np.array([classes.index(photo.class_name) for photo, _ in answered], np.int64),
        labels=answered[0][1]["labels"],
        unreadable=[photo.name for photo, content in zip(photos, answers, strict=True) if not content],
    )


def report(answers: Answers) -> dict[str, Any]:
    """The accuracies, and the photo that was recognised with the most certainty (None when none was)."""
    order = np.argsort(-answers.scores, axis=1)
    right = order[:, 0] == answers.truth
    exponentials = np.exp(answers.scores - answers.scores.max(1, keepdims=True))
    certainty = np.where(right, (exponentials / exponentials.sum(1, keepdims=True)).max(1), -1.0)
    surest = int(certainty.argmax())
    sample = {
        "photo": answers.photos[surest].name,
        "label": answers.labels[answers.truth[surest]],
        "probability": float(certainty[surest]),
    }
    per_class = {
        answers.labels[index]: {
            "photos": int((answers.truth == index).sum()),
            "top1": float(right[answers.truth == index].mean()),
        }
        for index in np.unique(answers.truth)
    }
    return {
        "photos": len(answers.photos),
        "classes": len(answers.labels),
        "top1": float(right.mean()),
        "top5": float((order[:, :5] == answers.truth[:, None]).any(1).mean()),
        "per_class": per_class,
        "sample": sample if right.any() else None,
        "unreadable": answers.unreadable,
    }


def main(_: list[str]) -> None:
    """Writes the report and the confusion matrix."""
    photos = find_photos(INPUT / "test")
    if not photos:
        raise JobError("no test photos: add some under test/NNN.Breed/ and publish them again")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack(INPUT / "model/model.tar.gz", folder)
        answers = ask(folder, photos)
    summary = report(answers)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "report.json").write_text(json.dumps(summary))
    counts = np.zeros((len(answers.labels), len(answers.labels)), np.int64)
    np.add.at(counts, (answers.truth, answers.scores.argmax(1)), 1)
    draw(counts, answers.labels).save(OUTPUT / "confusion.png")
    print(f"{summary['photos']} test photos: top1={summary['top1']:.4f} top5={summary['top5']:.4f}", flush=True)


if __name__ == "__main__":
    run(main, MESSAGE)
