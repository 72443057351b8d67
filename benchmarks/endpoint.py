"""How quickly the container answers: one caller against a bare forward pass, sixteen against the best batched one.

    python -m benchmarks.endpoint

Both serving scripts, ours and a beginner's, run in the local AWS's PyTorch container, a process that is asked over HTTP
as SageMaker asks it. The bare forward pass is that of the very network that serves, on the same photos, decoded before.
The sides take turns; the container that is not asked rests.
"""

import contextlib
import http.client
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch

from benchmarks.figures import Figure, main
from benchmarks.photos import ML, ROOT, photos, weights

CLASSES = 133
CALLERS = 16
ROUNDS = 7
CALLS = 20  # of the one caller, a round
SECONDS = 6.0  # of the sixteen, a round
LOAD_ROUNDS = 3
BATCHES = (1, 2, 4, 8, 16, 32)
SMALL = "Reading, cropping and HTTP take two milliseconds, half as long as the forward pass of a small network."
ONE_BY_ONE = (
    "SageMaker's PyTorch image calls input_fn, predict_fn and output_fn for one request after another, those of a "
    "batch that TorchServe has collected too (sagemaker-pytorch-inference, transformer.py). So no two photos share a "
    "forward pass, and one alone takes longer than its share of a batch."
)
MODEL = {"resnet50": 2048, "efficientnet_lite0": 1280}


def our_model(backbone: str, folder: Path) -> None:
    """A model directory as the final training leaves it, with a random head."""
    (folder / "code").mkdir(parents=True)
    sys.path.insert(0, str(ML))
    from train import SERVING_CODE

    for name in SERVING_CODE:
        shutil.copyfile(ML / name, folder / "code" / name)
    weights(backbone, folder).rename(folder / "backbone.pth")
    head = {"weight": torch.randn(CLASSES, MODEL[backbone]) / 50, "bias": torch.zeros(CLASSES)}
    torch.save(head, folder / "head.pth")
    (folder / "classes.json").write_text(json.dumps([f"{number:03}.Breed_{number}" for number in range(CLASSES)]))
    (folder / "model.json").write_text(json.dumps({"backbone": backbone}))


def beginners_model(backbone: str, folder: Path) -> None:
    """A model directory of the beginner's script: the same network, whole, in eager float32."""
    (folder / "code").mkdir(parents=True)
    sys.path.insert(0, str(ML))
    from backbones import BACKBONES

    shutil.copyfile(ROOT / "benchmarks/baseline/inference.py", folder / "code/inference.py")
    if backbone == "efficientnet_lite0":
        shutil.copyfile(ML / "efficientnet_lite.py", folder / "code/efficientnet_lite.py")
    network = torch.nn.Sequential(BACKBONES[backbone].build(), torch.nn.Linear(MODEL[backbone], CLASSES))
    torch.save(network.eval(), folder / "network.pth")


@contextlib.contextmanager
def container(model: Path) -> Iterator[int]:
    """The port of a serving container that is ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "SAGEMAKER_BASE_DIR": str(model.parent),
        "SAGEMAKER_BIND_TO_PORT": str(port),
    }
    command = [sys.executable, "-P", str(ROOT / "localaws/containers/serving.py")]
    process = subprocess.Popen(command, env=environment, cwd=model)
    try:
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", port)
                connection.request("GET", "/ping")
                if connection.getresponse().status == http.HTTPStatus.OK:
                    break
            if process.poll() is not None:
                raise RuntimeError("the container ended before it served")
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(30)


class Caller:
    """One caller with a connection of its own."""

    def __init__(self, port: int):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, photo: bytes) -> float:
        """Seconds until the answer is there."""
        began = time.perf_counter()
        self.connection.request("POST", "/invocations", photo, {"Content-Type": "image/jpeg"})
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(body.decode())
        return time.perf_counter() - began


def load(port: int, bodies: list[bytes]) -> float:
    """Photos a second that sixteen callers get answered, each asking again once it is answered."""
    answered = [0] * CALLERS
    begin = time.perf_counter()

    def call(number: int) -> None:
        caller = Caller(port)
        for photo in islice(cycle(bodies), number, None):
            if time.perf_counter() - begin > SECONDS:
                return
            caller.ask(photo)
            answered[number] += 1

    threads = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(answered) / (time.perf_counter() - begin)


class Bare:
    """The network that serves, in this process, with nothing around it."""

    def __init__(self, model: Path, bodies: list[bytes]):
        sys.path.insert(0, str(ML))
        import inference
        from photos import centre_crop, read_photo

        self.backbone = inference.model_fn(str(model)).backbone
        self.crops = [centre_crop(read_photo(body, self.backbone.side), self.backbone.side) for body in bodies]

    def one(self, number: int) -> float:
        """Seconds of a forward pass of one photo."""
        pixels = self.backbone.pixels([self.crops[number % len(self.crops)]])
        began = time.perf_counter()
        self.backbone.forward(pixels)
        return time.perf_counter() - began

    def batched(self, batch: int) -> float:
        """Photos a second of forward passes of so many."""
        pixels = self.backbone.pixels(list(islice(cycle(self.crops), batch)))
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS / len(BATCHES):
            self.backbone.forward(pixels)
            done += batch
        return done / (time.perf_counter() - began)


_bare: list[Bare] = []


def _prepare(model: Path, bodies: list[bytes]) -> None:
    _bare.append(Bare(model, bodies))
    for number in range(CALLS):
        _bare[0].one(number)


def _one(count: int) -> list[float]:
    return [_bare[0].one(number) for number in range(count)]


def _batched() -> dict[int, float]:
    return {batch: _bare[0].batched(batch) for batch in BATCHES}


def backbone_figures(backbone: str, bodies: list[bytes], folder: Path) -> Iterator[Figure]:
    """The figures of one backbone."""
    our_model(backbone, folder / "ours/model")
    beginners_model(backbone, folder / "baseline/model")
    spawn = multiprocessing.get_context("spawn")
    with (
        container(folder / "ours/model") as ours,
        container(folder / "baseline/model") as baseline,
        ProcessPoolExecutor(1, spawn, _prepare, (folder / "ours/model", bodies)) as bare,
    ):
        yield alone(backbone, Caller(ours), Caller(baseline), bare, bodies)
        yield from together(backbone, ours, baseline, bare, bodies)


def alone(backbone: str, ours: Caller, baseline: Caller, bare: ProcessPoolExecutor, bodies: list[bytes]) -> Figure:
    """One caller."""
    asked: list[float] = []
    passed: list[float] = []
    beginners: list[float] = []
    photo = cycle(bodies)
    for caller in (ours, baseline):
        for _ in range(CALLS):  # the first calls are slower
            caller.ask(next(photo))
    for _ in range(ROUNDS):
        asked += [ours.ask(next(photo)) for _ in range(CALLS)]
        passed += bare.submit(_one, CALLS).result()
        beginners += [baseline.ask(next(photo)) for _ in range(CALLS)]
    ask, forward, beginner = (1000 * statistics.median(times) for times in (asked, passed, beginners))
    return Figure(
        f"endpoint, one caller, {backbone}",
        "median latency at the container over a bare forward pass of the network that serves, same photos decoded",
        ask / forward,
        "times",
        1.25,
        limits=SMALL,
        detail={"ours, ms": ask, "forward pass alone, ms": forward, "baseline handler, ms": beginner},
    )


def together(
    backbone: str, ours: int, baseline: int, bare: ProcessPoolExecutor, bodies: list[bytes]
) -> Iterator[Figure]:
    """Sixteen callers."""
    rounds = [(load(ours, bodies), bare.submit(_batched).result(), load(baseline, bodies)) for _ in range(LOAD_ROUNDS)]
    detail: dict[str, Any] = {
        "ours, photos/s": statistics.median(mine for mine, _, _ in rounds),
        "best batched forward pass, photos/s": statistics.median(max(best.values()) for _, best, _ in rounds),
        "at a batch of": statistics.mode(max(best, key=best.__getitem__) for _, best, _ in rounds),
        "baseline handler, photos/s": statistics.median(theirs for _, _, theirs in rounds),
    }
    yield Figure(
        f"endpoint, 16 callers, {backbone}",
        "photos a second at the container over the best bare batched forward pass",
        statistics.median(mine / max(best.values()) for mine, best, _ in rounds),
        "times",
        0.85,
        "more",
        ONE_BY_ONE,
        detail,
    )
    yield Figure(
        f"endpoint, 16 callers, {backbone}, against the baseline",
        "photos a second at the container over a beginner's handler",
        statistics.median(mine / theirs for mine, _, theirs in rounds),
        "times",
        3,
        "more",
        ONE_BY_ONE,
        detail,
    )


def measure() -> Iterator[Figure]:
    """Both backbones."""
    with photos() as data, tempfile.TemporaryDirectory() as name:
        bodies = [path.read_bytes() for path in sorted((data / "test").glob("*/*.jpg"))]
        for backbone in MODEL:
            yield from backbone_figures(backbone, bodies, Path(name) / backbone)


if __name__ == "__main__":
    main(measure)
