"""Judges the trained model on the test photos, through the very code that will serve it.

A SageMaker processing job: `python3 /opt/ml/processing/input/code/evaluate.py`.

Reads `input/model/model.tar.gz` and the photos of `input/test`; sends each photo's bytes through the functions of the
archive's own `code/inference.py`; writes `report.json`, what `measures.py` makes of the answers, to `output/`, and a
copy of the photos it names as samples to `output/samples/`: the model can be tried on them when the data set has gone
on. The model that serves, if `input/champion/model.tar.gz` is there, is asked about the same photos, and the report
compares the two.
"""

import importlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from dataset import Photo, find_photos
from job import BASE, MESSAGE, JobError, run
from measures import Answers, compare, report

INPUT = BASE / "processing/input"
OUTPUT = BASE / "processing/output"

CONTENT_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}


def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A file or a folder of the archive. TarError for links, of which a model has none, and for what leads out."""
    path = PurePosixPath(member.name)
    if not (member.isreg() or member.isdir()) or path.is_absolute() or ".." in path.parts:
        raise tarfile.TarError(f"{member.name} is no file or folder in it")
    member.mode = member.mode & 0o755 | (0o700 if member.isdir() else 0o600)
    return member


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks model.tar.gz; nothing in it can land outside the folder. Raises JobError."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Python before 3.11.4 has none
            tar.extractall(folder, map(plain, tar))  # noqa: S202 - plain lets neither a link nor a way out through
    except FileNotFoundError:
        raise JobError(f"{archive} is missing: the model input must be the training job's model.tar.gz") from None
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError) as error:
        raise JobError(f"{archive} cannot be unpacked, train again: {error}") from error
    if not (folder / "code/inference.py").is_file():
        raise JobError(f"{archive} has no code/inference.py: it is a trial's; evaluate what the final training wrote")


def load_inference(folder: Path) -> Any:
    """The module `inference` of an unpacked archive, with that archive's own modules beside it."""
    code = folder / "code"
    for path in code.glob("*.py"):
        sys.modules.pop(path.stem, None)
    sys.path.insert(0, str(code))
    try:
        return importlib.import_module("inference")
    finally:
        sys.path.remove(str(code))


def ask(folder: Path, photos: list[Photo]) -> Answers:
    """Every photo's scores by the model unpacked in the folder; -1 is the class of photos of classes it does not know.

    Raises JobError.
    """
    inference = load_inference(folder)
    model = inference.model_fn(str(folder))
    classes: list[str] = json.loads((folder / "classes.json").read_text())
    place = {name: index for index, name in enumerate(classes)}

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

    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        answers = list(pool.map(answer, photos))
    answered = [(photo, content) for photo, content in zip(photos, answers, strict=True) if content]
    if not answered:
        raise JobError(f"none of the {len(photos)} test photos can be read: replace them")
    return Answers(
        photos=[photo for photo, _ in answered],
        scores=np.array([content["scores"][0] for _, content in answered]),
        truth=np.array([place.get(photo.class_name, -1) for photo, _ in answered], np.int64),
        labels=answered[0][1]["labels"],
        unreadable=[photo.name for photo, content in zip(photos, answers, strict=True) if not content],
        training=json.loads((folder / "model.json").read_text()),
    )


def evaluate(archive: Path, photos: list[Photo]) -> Answers:
    """The answers of an archive's model. Raises JobError."""
    with tempfile.TemporaryDirectory() as name:
        unpack(archive, Path(name))
        return ask(Path(name), photos)


def main(_: list[str]) -> None:
    """Writes the report."""
    photos = find_photos(INPUT / "test")
    if not photos:
        raise JobError("no test photos: add some under test/NNN.Breed/ and publish them again")
    answers = evaluate(INPUT / "model/model.tar.gz", photos)
    unknown = sorted({answers.photos[index].class_name for index in np.flatnonzero(answers.truth < 0)})
    if unknown:
        raise JobError(f"{', '.join(unknown)}: test photos of classes the model was not trained on; train it on them")
    summary = report(answers)
    if (INPUT / "champion").is_dir():
        summary["champion"] = compare(answers, evaluate(INPUT / "champion/model.tar.gz", photos))
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "report.json").write_text(json.dumps(summary))
    for sample in summary["samples"]:
        copy = OUTPUT / "samples" / sample["photo"]
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(INPUT / "test" / sample["photo"], copy)
    print(f"{summary['photos']} test photos: top1={summary['top1']:.4f} top5={summary['top5']:.4f}", flush=True)
    if champion := summary["champion"]:
        print(f"the champion on the same photos: top1={champion['top1']:.4f}", flush=True)


if __name__ == "__main__":
    run(main, MESSAGE)
