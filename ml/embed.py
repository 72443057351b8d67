"""Computes every photo's features with a frozen backbone, once, so that trials train on vectors.

A SageMaker processing job: `python3 /opt/ml/processing/input/code/embed.py --backbone resnet50 --views 4`.

Reads `input/{train,valid,test}` and `input/weights/<backbone>.pth`; writes to `output/` what `embeddings.py` says.
View 0 is the centre crop; the others, of training photos only, are random crops, half of them mirrored.

On several instances each finds its share of the photos, perhaps none, and writes files under its own name. Whether a
classifier can come of all of them is judged where they are all seen: by train.py, and here already when the job has one
instance.
"""

import json
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import embeddings
from backbones import BACKBONES, Backbone, WeightsError, load
from dataset import Photo, find_photos
from job import BASE, MESSAGE, JobError, parse, run
from photos import Crop, UnreadablePhotoError, centre_crop, crop, read_photo

INPUT = BASE / "processing/input"
OUTPUT = BASE / "processing/output"
CLUSTER = BASE / "config/resourceconfig.json"

BATCH = 8  # crops a thread computes at once: they fit its processor's cache, 32 took twice as long each
PROGRESS_SECONDS = 5.0


@dataclass(frozen=True)
class Options:
    """The job's arguments."""

    backbone: str = "resnet50"
    views: int = 4
    max_unreadable_share: float = 0.02
    seed: int = 0

    def problems(self) -> Iterator[str]:
        """What is out of range."""
        if self.backbone not in BACKBONES:
            yield f"--backbone must be one of {', '.join(BACKBONES)}, not {self.backbone!r}"
        if not 1 <= self.views <= 64:
            yield f"--views must be from 1 to 64, not {self.views}"
        if not 0 <= self.max_unreadable_share <= 1:
            yield f"--max_unreadable_share must be from 0 to 1, not {self.max_unreadable_share}"


def random_crop(image: Image.Image, side: int, random: Random) -> Crop:
    """A part of 35 to 100 % of the area at an aspect of 3:4 to 4:3, or the largest such part; mirrored half the time.

    The recipe ImageNet networks are trained with (Szegedy et al. 2014, arXiv:1409.4842, section 6), cut less tightly.
    """
    area, aspect = (
        random.uniform(0.35, 1) * image.width * image.height,
        math.exp(random.uniform(-1, 1) * math.log(4 / 3)),
    )
    width, height = min(image.width, math.sqrt(area * aspect)), min(image.height, math.sqrt(area / aspect))
    left, top = random.uniform(0, image.width - width), random.uniform(0, image.height - height)
    pixels = crop(image, (left, top, left + width, top + height), side)
    return np.flip(pixels, axis=1) if random.random() < 0.5 else pixels


def read_views(photo: Photo, views: int, side: int, seed: int) -> list[Crop]:
    """The photo's crops, the same for the same photo and seed whatever else is read. Raises UnreadablePhotoError."""
    image = read_photo(photo.path.read_bytes(), side)
    random = Random(f"{seed} {photo.name}")  # noqa: S311  # decides crops, not secrets
    return [centre_crop(image, side)] + [random_crop(image, side, random) for _ in range(views - 1)]


class Embedder:
    """Embeds one split after another; says how far it is, and keeps the names of the photos it could not read."""

    def __init__(self, backbone: Backbone, seed: int, total: int):
        self.backbone = backbone
        self.seed = seed
        self.total = total
        self.unreadable: list[str] = []
        self._done = 0
        self._told = time.monotonic()

    def embed(self, photos: list[Photo], views: int) -> tuple[NDArray[np.float32], list[Photo]]:
        """The features (photos, views, features) of the photos that can be read, and these photos."""
        size = max(1, BATCH // views)
        batches = [photos[start : start + size] for start in range(0, len(photos), size)]
        # One block: small ones, allocated between the pixels of two batches, would keep the memory of those in pieces.
        features = np.empty((len(photos), views, self.backbone.width), np.float32)
        readable: list[Photo] = []
        # One thread of torch in each of ours: none waits for another, as threads that share one convolution would.
        cores = len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for batch, done in zip(batches, pool.map(lambda batch: self._batch(batch, views), batches), strict=True):
                features[len(readable) : len(readable) + len(done[1])] = done[0]
                readable += done[1]
                self._tell(len(batch))
        return features[: len(readable)], readable

    def _batch(self, photos: list[Photo], views: int) -> tuple[NDArray[np.float32], list[Photo]]:
        readable: list[Photo] = []
        crops: list[Crop] = []
        for photo in photos:
            try:
                crops += read_views(photo, views, self.backbone.side, self.seed)
                readable.append(photo)
            except UnreadablePhotoError as error:
                print(f"left out {photo.name}: {error}", flush=True)
                self.unreadable.append(photo.name)
        return self.backbone.features(crops).numpy().reshape(len(readable), views, self.backbone.width), readable

    def _tell(self, photos: int) -> None:
        self._done += photos
        if time.monotonic() - self._told > PROGRESS_SECONDS:
            self._told = time.monotonic()
            print(f"embedded {self._done} of {self.total} photos", flush=True)


def cluster() -> tuple[str, int]:
    """This instance's name and the number of instances, as SageMaker tells a processing container; else it is alone."""
    if not CLUSTER.is_file():
        return "algo-1", 1
    config = json.loads(CLUSTER.read_text())
    return config["current_host"], len(config["hosts"])


def main(argv: list[str]) -> None:
    """Embeds this instance's share of the three splits."""
    started = time.monotonic()
    options = parse(Options, argv)
    host, hosts = cluster()
    found = {split: find_photos(INPUT / split) for split in embeddings.SPLITS}
    try:
        backbone = load(options.backbone, INPUT / f"weights/{options.backbone}.pth")
    except WeightsError as error:
        raise JobError(str(error)) from error
    embedder = Embedder(backbone, options.seed, sum(map(len, found.values())))
    counts = {}
    for split, photos in found.items():
        features, readable = embedder.embed(photos, options.views if split == "train" else 1)
        embeddings.write(OUTPUT, split, host, readable, features)
        counts[split] = len(readable)
    report = {
        "photos": counts,
        "unreadable": sorted(embedder.unreadable),
        "max_unreadable_share": options.max_unreadable_share,
        "features": backbone.width,
        "seconds": round(time.monotonic() - started, 1),
    }
    embeddings.write_report(OUTPUT, host, report)
    if hosts == 1:
        embeddings.classes_of(OUTPUT)
    print(f"embedded {sum(counts.values())} photos in {report['seconds']} s")


if __name__ == "__main__":
    run(main, MESSAGE)
