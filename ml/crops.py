"""The photos of fine-tuning, as one stream of batches over all epochs, which worker processes read ahead.

A training photo is cropped as embed.py crops its views, each epoch anew; a valid photo as serving crops it. They travel
as bytes, and are normalised on the device.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import embeddings
from embed import random_crop
from job import BASE, JobError
from photos import Crop, centre_crop, read_photo

CHANNELS = {
    name: Path(os.environ.get(f"SM_CHANNEL_{name.upper()}", BASE / "input/data" / name)) for name in ("train", "valid")
}


@dataclass(frozen=True)
class Photos:
    """The photos of a split, by their paths under a folder, and their classes' places."""

    folder: Path
    names: Sequence[str]
    labels: Sequence[int]


def embedded_photos(folder: Path, split: str, classes: list[str]) -> Photos:
    """The photos that embed.py could read, as it wrote in a folder, in the channel of their split. Raises JobError."""
    found = embeddings.read_photos(folder, split)
    photos = Photos(CHANNELS[split], found.names.tolist(), np.searchsorted(classes, found.class_names).tolist())
    for name in photos.names:
        if not (photos.folder / name).is_file():
            raise JobError(f"{photos.folder / name} is missing: fine-tuning needs a channel {split} with its photos")
    return photos


Key = tuple[int, int]  # the epoch, 0 for a valid photo's centre crop, and the photo's place in its split


class Crops(Dataset[tuple[Crop, int]]):
    """Reads and crops photos, in a worker process."""

    def __init__(self, train: Photos, valid: Photos, side: int, seed: int):
        self.train, self.valid = train, valid
        self.side = side
        self.seed = seed

    def __getitem__(self, key: Key) -> tuple[Crop, int]:
        epoch, place = key
        photos = self.train if epoch else self.valid
        name = photos.names[place]
        image = read_photo((photos.folder / name).read_bytes(), self.side)
        random = Random(f"{self.seed} {epoch} {name}")  # noqa: S311  # decides crops, not secrets
        pixels = random_crop(image, self.side, random) if epoch else centre_crop(image, self.side)
        return pixels, photos.labels[place]


def _batch(items: list[tuple[Crop, int]]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(np.stack([pixels for pixels, _ in items])), torch.tensor([label for _, label in items])


def read_ahead(
    data: Crops, batch_size: int, first: int, last: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Crops (n, side, side, 3) and labels (n,) on the device: of each epoch the training photos, then the valid ones.

    The worker processes live for all of it, and do not stop at an epoch's end.
    """
    loader = DataLoader(
        data,
        batch_sampler=_keys(data, batch_size, first, last),
        num_workers=len(os.sched_getaffinity(0)),
        collate_fn=_batch,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # else it takes a number, whenever it starts, from the one that dropout draws from
    )
    for crops, labels in loader:
        yield crops.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def _keys(data: Crops, batch_size: int, first: int, last: int) -> Iterator[list[Key]]:
    for epoch in range(first, last + 1):
        train = [(epoch, place) for place in range(len(data.train.names))]
        Random(f"{data.seed} {epoch}").shuffle(train)  # noqa: S311  # decides an order
        for keys in (train, [(0, place) for place in range(len(data.valid.names))]):
            yield from (keys[start : start + batch_size] for start in range(0, len(keys), batch_size))
