"""How good the model is on real photos, in folds, and how well its probabilities tell that.

    KENNEL_PHOTOS=../shared/dog-photos python -m benchmarks.accuracy

The photos of each breed are taken in turn: one tests, one validates, the others train, so that each tests once. Every
fold goes through the scripts of `ml/` as a run does: embed.py, one trial a learning rate and the best taken by its
valid loss, train.py, and the model's own inference.py on the test photo's bytes. The baseline is a beginner's head of
1280-128-classes on the same frozen network. Needs `KENNEL_PHOTOS`: drawn dogs are all told apart.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.figures import Figure, main
from benchmarks.photos import SPLITS, embed, job

if TYPE_CHECKING:
    from measures import Answers

BACKBONE = "efficientnet_lite0"
RATES = ("0.0003", "0.001", "0.003", "0.01")
EPOCHS = 30
OPTIONS = ("--backbone", BACKBONE, "--epochs", str(EPOCHS))


def folds(data: Path, folder: Path) -> Iterator[Path]:
    """A data set a fold, as links into the one given."""
    breeds: dict[str, list[Path]] = {}
    for path in sorted(data.glob("*/*/*.jpg")):
        breeds.setdefault(path.parent.name, []).append(path)
    count = min(len(paths) for paths in breeds.values())
    for fold in range(count):
        for breed, paths in breeds.items():
            for number, path in enumerate(sorted(paths, key=lambda path: path.name)[:count]):
                split = {fold: "test", (fold + 1) % count: "valid"}.get(number, "train")
                place = folder / f"{fold}" / split / breed / path.name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(path.resolve())
        yield folder / f"{fold}"


def ours(data: Path, base: Path) -> "Answers":
    """What the fold's model says of its test photos."""
    from dataset import find_photos
    from evaluate import ask

    shutil.rmtree(base, ignore_errors=True)
    embed(base, data, BACKBONE)
    losses = {}
    for rate in RATES:
        job("train.py", base, *OPTIONS, "--learning_rate", rate)
        losses[json.loads((base / "model/model.json").read_text())["valid_loss"]] = rate
    (base / "processing/input/weights").rename(base / "input/data/weights")  # that of the final training
    job("train.py", base, *OPTIONS, "--learning_rate", losses[min(losses)])
    return ask(base / "model", find_photos(data / "test"))


def plain_vectors(folder: Path, split: str, classes: list[str]) -> tuple[Tensor, Tensor]:
    """The vectors (n, d) of the photos' centre crops, and their labels (n,)."""
    from embeddings import read_features, read_photos

    photos = read_photos(folder, split)
    features = read_features(folder, split, photos.names)[:, 0]
    return torch.from_numpy(features), torch.tensor([classes.index(name) for name in photos.class_names])


def baseline(base: Path) -> float:
    """The share of right test photos of a beginner's head on the fold's plain vectors."""
    from embeddings import classes_of

    folder = base / "input/data/embeddings"
    classes = classes_of(folder)
    split = {name: plain_vectors(folder, name, classes) for name in SPLITS}
    torch.manual_seed(0)
    features, labels = split["train"]
    head = nn.Sequential(nn.Linear(features.shape[1], 128), nn.ReLU(), nn.Linear(128, int(labels.max()) + 1))
    optimizer = torch.optim.Adam(head.parameters(), lr=0.001)
    kept = (torch.inf, 0.0)
    for _ in range(EPOCHS):
        for rows in torch.split(torch.randperm(len(features)), 32):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(head(features[rows]), labels[rows]))
            optimizer.step()
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(head(split["valid"][0]), split["valid"][1]))
            right = float((head(split["test"][0]).argmax(1) == split["test"][1]).float().mean())
        kept = min(kept, (loss, right))
    return kept[1]


def measure() -> Iterator[Figure]:
    """All folds together."""
    given = os.environ.get("KENNEL_PHOTOS")
    if not given:
        raise SystemExit("KENNEL_PHOTOS must name a directory of real photos: drawn dogs are all told apart")
    from measures import calibration

    answers, beginners = [], []
    with tempfile.TemporaryDirectory() as name:
        for fold in folds(Path(given), Path(name)):
            answers.append(ours(fold, Path(name) / "base"))
            beginners.append(baseline(Path(name) / "base"))
    together = replace(
        answers[0],
        photos=[photo for fold in answers for photo in fold.photos],
        scores=np.concatenate([fold.scores for fold in answers]),
        truth=np.concatenate([fold.truth for fold in answers]),
    )
    top1, theirs = float(together.right.mean()), sum(beginners) / len(beginners)
    detail = {
        "each fold": [float(fold.right.mean()) for fold in answers],
        "baseline, each fold": beginners,
        "test photos": len(together.photos),
    }
    yield Figure("accuracy", f"top-1 over all folds, {BACKBONE}", top1, "", 0.90, "more", detail=detail)
    yield Figure(
        "accuracy over the baseline's", "top-1 less a beginner's head on the same folds", top1 - theirs, "", 0, "more"
    )
    measured = "expected calibration error on all test photos, as evaluate.py measures it"
    yield Figure("calibration", measured, calibration(together)["ece"], "", 0.05)


if __name__ == "__main__":
    main(measure)
