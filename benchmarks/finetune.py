"""How fast ml/finetune.py trains all of resnet50 on photos, beside the loop one writes first, and the device's limit.

    python -m benchmarks.finetune    # some minutes on a GPU; without one, a few batches to see it run

Photos a second, medians over rounds in which each side runs once, in alternating order, in one process:

- ours: `Finetuning.epochs()` from its start to its end, with the processes it starts, its average of the weights, a
  batch of valid photos and a checkpoint an epoch;
- plain: torchvision's resnet50, ImageFolder, RandomResizedCrop and flip, one DataLoader with pinned memory, AdamW, and
  a checkpoint an epoch, with the same epochs, batch, workers and autocast, and no valid photos;
- limit: our step alone, on a batch that is on the device already: nothing is decoded and nothing copied.

Photos of 500 x 375 are drawn, and used over and over by links until there are enough. The weights are random: nothing
is downloaded, and what is learnt does not matter here.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

import finetune
from backbones import BACKBONES
from benchmarks.figures import Figure, main
from crops import Photos
from dataset import find_photos

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
OVER = {"ours": "ours", "plain": "a plain PyTorch loop", "limit": "the step alone, its batch on the device"}
WORKERS = len(os.sched_getaffinity(0))
LATEST = 150  # seconds after which no further round begins


@dataclass(frozen=True)
class Size:
    """How much is trained: photos an epoch, epochs (too few for the last stage to train alone), steps of the limit."""

    photos: int = 8000
    epochs: int = 2
    batch_size: int = 64
    steps: int = 60
    rounds: int = 3


def draw(folder: Path, count: int) -> None:
    """Photos of 500 x 375, with about the detail of real ones, in ten classes."""
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (47, 63, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC), np.int16)
        pixels = np.clip(smooth + random.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)
        path = folder / f"{number % 10:03}.Drawn" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=90)


def link(given: Path, folder: Path, count: int) -> Photos:
    """So many photos in a folder for each class, links to those given, round and round."""
    found = find_photos(given)
    classes = sorted({photo.class_name for photo in found})
    names, labels = [], []
    for number, photo in enumerate(islice(cycle(found), count)):
        names.append(f"{photo.class_name}/{number}{photo.path.suffix}")
        labels.append(classes.index(photo.class_name))
        path = folder / names[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(photo.path.resolve())
    return Photos(folder, names, labels)


def wait() -> None:
    """Until the device has done all it was told to."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def ours(train: Photos, valid: Photos, size: Size) -> finetune.Finetuning:
    """A training that has not begun."""
    settings = finetune.Settings("resnet50", size.epochs, 1e-4, size.batch_size, 0.01, 0.3, seed=0)
    head = (torch.zeros(max(train.labels) + 1, 2048), torch.zeros(max(train.labels) + 1))
    return finetune.Finetuning(settings, BACKBONES["resnet50"].build(), head, train, valid, DEVICE)


def run_ours(train: Photos, valid: Photos, size: Size) -> float:
    """Photos a second."""
    training = ours(train, valid, size)
    shutil.rmtree(finetune.CHECKPOINTS, ignore_errors=True)
    started = time.perf_counter()
    for figures in training.epochs():
        print(figures, flush=True)
    wait()
    return size.epochs * size.photos / (time.perf_counter() - started)


def run_limit(train: Photos, valid: Photos, size: Size) -> float:
    """Photos a second of the step alone."""
    training = ours(train, valid, size)
    training.model.train()
    crops = torch.randint(0, 256, (size.batch_size, 224, 224, 3), dtype=torch.uint8, device=DEVICE)
    labels = torch.zeros(size.batch_size, dtype=torch.int64, device=DEVICE)
    for step in range(size.steps // 4 + size.steps):
        if step == size.steps // 4:  # the first ones choose their algorithms
            wait()
            started = time.perf_counter()
        training.step(crops, labels, 0)
    wait()
    return size.steps * size.batch_size / (time.perf_counter() - started)


def run_plain(folder: Path, size: Size) -> float:
    """Photos a second of the loop that one writes first."""
    torch.backends.cudnn.benchmark = False
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    data = datasets.ImageFolder(str(folder), transform)
    model = models.resnet50(num_classes=len(data.classes)).to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    loader = DataLoader(data, size.batch_size, shuffle=True, num_workers=WORKERS, pin_memory=DEVICE.type == "cuda")
    started = time.perf_counter()
    for epoch in range(size.epochs):
        model.train()
        total = 0.0
        for images, labels in loader:
            images, labels = images.to(DEVICE, non_blocking=True), labels.to(DEVICE, non_blocking=True)
            with torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda"):
                loss = torch.nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            total += loss.item()
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, folder.parent / "plain.pth")
        print(f"plain epoch={epoch + 1} train_loss={total / len(loader):.4f}", flush=True)
    wait()
    return size.epochs * size.photos / (time.perf_counter() - started)


def rounds(work: Path, size: Size) -> list[dict[str, float]]:
    """The photos a second of each side in each round."""
    finetune.CHECKPOINTS = work / "checkpoints"
    draw(work / "drawn", min(200, size.photos))
    train = link(work / "drawn", work / "train", size.photos)
    valid = link(work / "drawn", work / "valid", size.batch_size)
    sides = {
        "limit": lambda: run_limit(train, valid, size),
        "ours": lambda: run_ours(train, valid, size),
        "plain": lambda: run_plain(work / "train", size),
    }
    began, found = time.monotonic(), []
    for number in range(size.rounds):
        if number and time.monotonic() - began > LATEST:
            break
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        found.append({name: sides[name]() for name in order})
    return found


def measure() -> Iterator[Figure]:
    """Our loop over the plain one, and over the limit."""
    size = Size() if DEVICE.type == "cuda" else Size(photos=24, epochs=1, batch_size=8, steps=2, rounds=1)
    with tempfile.TemporaryDirectory() as work:
        found = rounds(Path(work), size)
    yield from figures(found, size)


def figures(found: list[dict[str, float]], size: Size) -> Iterator[Figure]:
    """What the rounds show."""
    medians = {f"{side}, photos/s": statistics.median(one[side] for one in found) for side in OVER}
    detail = {**medians, **asdict(size)}
    for other in ("plain", "limit"):
        yield Figure(
            f"fine-tuning, over {OVER[other]}",
            "photos a second of fine-tuning all of resnet50 at 224 px, its start and checkpoints included",
            statistics.median(one["ours"] / one[other] for one in found),
            "times",
            detail=detail,
        )


if __name__ == "__main__":
    main(measure)
