"""How many photos a second are embedded with resnet50, by embed.py's own class and by a beginner's loop.

    python -m benchmarks.embedding

Reading and decoding included, loading the network not. The sides take turns, each in a fresh process.
"""

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, islice
from pathlib import Path

from benchmarks.figures import Figure, main
from benchmarks.photos import photos, weights

ROUNDS = 3
PHOTOS = {"ours": 384, "baseline": 128}  # some ten seconds each


def ours(data: Path, file: Path) -> float:
    """Photos a second, one view each."""
    from backbones import load
    from dataset import find_photos
    from embed import Embedder

    chosen = list(islice(cycle(find_photos(data / "train")), PHOTOS["ours"]))
    backbone = load("resnet50", file)
    Embedder(backbone, 0, 16).embed(chosen[:16], 1)  # the first ones are slower
    began = time.perf_counter()
    Embedder(backbone, 0, len(chosen)).embed(chosen, 1)
    return len(chosen) / (time.perf_counter() - began)


def baseline(data: Path, file: Path) -> float:
    """Photos a second of the frozen network in eager float32, batches of 32."""
    import torch
    from PIL import Image
    from torchvision.models import resnet50

    from benchmarks.baseline.train import TESTING

    network = resnet50(weights=None)
    network.load_state_dict(torch.load(file, weights_only=True))
    network.fc = torch.nn.Identity()
    network.eval()
    chosen = list(islice(cycle(sorted((data / "train").glob("*/*"))), PHOTOS["baseline"]))
    began = time.perf_counter()
    with torch.no_grad():
        for start in range(0, len(chosen), 32):
            network(torch.stack([TESTING(Image.open(path).convert("RGB")) for path in chosen[start : start + 32]]))
    return len(chosen) / (time.perf_counter() - began)


def fresh(side: Callable[[Path, Path], float], data: Path, file: Path) -> float:
    """The side's figure in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(side, data, file).result()


def measure() -> Iterator[Figure]:
    """Both sides, in turn."""
    with photos() as data, tempfile.TemporaryDirectory() as name:
        file = weights("resnet50", Path(name))
        rates = [(fresh(ours, data, file), fresh(baseline, data, file)) for _ in range(ROUNDS)]
    yield Figure(
        "embedding",
        "photos a second with resnet50 over a beginner's eager loop, decoding included",
        statistics.median(mine / theirs for mine, theirs in rates),
        "times",
        3,
        "more",
        detail={
            "ours, photos/s": statistics.median(mine for mine, _ in rates),
            "baseline, photos/s": statistics.median(theirs for _, theirs in rates),
            "cores": os.cpu_count(),
            "rounds": ROUNDS,
        },
    )


if __name__ == "__main__":
    main(measure)
