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
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.figures import Figure, main
from benchmarks.photos import ML, SPLITS, job, weights

BACKBONE = "efficientnet_lite0"
RATES = ("0.0003", "0.001", "0.003", "0.01")
EPOCHS = "30"
BINS = 15


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


def ours(data: Path, base: Path) -> tuple[Tensor, Tensor]:
    """The probabilities (n, classes) and classes (n,) of the fold's test photos."""
    shutil.rmtree(base, ignore_errors=True)
    (base / "processing/input").mkdir(parents=True)
    for split in SPLITS:
        (base / "processing/input" / split).symlink_to(data / split)
    file = weights(BACKBONE, base / "processing/input/weights")
    job("embed.py", base, "--backbone", BACKBONE)
    (base / "input/data").mkdir(parents=True)
    (base / "processing/output").rename(base / "input/data/embeddings")
    losses = {}
    for rate in RATES:
        job("train.py", base, "--backbone", BACKBONE, "--epochs", EPOCHS, "--learning_rate", rate)
        losses[json.loads((base / "model/model.json").read_text())["valid_loss"]] = rate
    (base / "input/data/weights").mkdir()
    file.rename(base / "input/data/weights" / file.name)
    job("train.py", base, "--backbone", BACKBONE, "--epochs", EPOCHS, "--learning_rate", losses[min(losses)])
    return asked(base / "model", data / "test")


def asked(model: Path, test: Path) -> tuple[Tensor, Tensor]:
    """What the model's inference.py answers."""
    import inference

    loaded = inference.model_fn(str(model))
    classes = json.loads((model / "classes.json").read_text())
    paths = sorted(test.glob("*/*"))
    scores = torch.tensor([inference.predict_fn(path.read_bytes(), loaded)["scores"][0] for path in paths])
    return scores.softmax(1), torch.tensor([classes.index(path.parent.name) for path in paths])


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
    for _ in range(int(EPOCHS)):
        for rows in torch.split(torch.randperm(len(features)), 32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(features[rows]), labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(head(split["valid"][0]), split["valid"][1]))
            right = float((head(split["test"][0]).argmax(1) == split["test"][1]).float().mean())
        kept = min(kept, (loss, right))
    return kept[1]


def calibration_error(probabilities: Tensor, truth: Tensor) -> float:
    """The expected calibration error in fifteen bins of equal width (Guo et al. 2017, arXiv:1706.04599, equation 3)."""
    confidence, guess = probabilities.max(1)
    right = (guess == truth).float()
    bins = (confidence * BINS).ceil().clamp(1, BINS)
    gaps = [
        (bins == number).float().mean() * (right[bins == number].mean() - confidence[bins == number].mean()).abs()
        for number in range(1, BINS + 1)
        if (bins == number).any()
    ]
    return float(torch.stack(gaps).sum())


def measure() -> Iterator[Figure]:
    """All folds together."""
    given = os.environ.get("KENNEL_PHOTOS")
    if not given:
        raise SystemExit("KENNEL_PHOTOS must name a directory of real photos: drawn dogs are all told apart")
    sys.path.insert(0, str(ML))
    probabilities, truths, beginners = [], [], []
    with tempfile.TemporaryDirectory() as name:
        for fold in folds(Path(given), Path(name)):
            probability, truth = ours(fold, Path(name) / "base")
            probabilities.append(probability)
            truths.append(truth)
            beginners.append(baseline(Path(name) / "base"))
    all_of, truth = torch.cat(probabilities), torch.cat(truths)
    right = [float((p.argmax(1) == t).float().mean()) for p, t in zip(probabilities, truths, strict=True)]
    top1, theirs = float((all_of.argmax(1) == truth).float().mean()), sum(beginners) / len(beginners)
    detail = {"each fold": right, "baseline, each fold": beginners, "test photos": len(truth)}
    yield Figure("accuracy", f"top-1 over all folds, {BACKBONE}", top1, "", 0.90, "more", detail=detail)
    yield Figure(
        "accuracy over the baseline's", "top-1 less a beginner's head on the same folds", top1 - theirs, "", 0, "more"
    )
    yield Figure(
        "calibration",
        f"expected calibration error on all test photos, {BINS} bins",
        calibration_error(all_of, truth),
        "",
        0.05,
    )


if __name__ == "__main__":
    main(measure)
