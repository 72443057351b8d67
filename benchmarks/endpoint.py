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
    "forward pass, and one alone takes longer than its share of a batch; reading photos takes the same cores besides. "
    "Two workers of one thread each answer more, and make one caller wait longer."
)
MODEL = {"resnet50": 2048, "efficientnet_lite0": 1280}


def our_model(backbone: str, folder: Path) -> None:
    """A model directory as the final training leaves it, with a random head."""
    (folder / "code").mkdir(parents=True)
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
    from backbones import BACKBONES

    shutil.copyfile(ROOT / "benchmarks/baseline/inference.py", folder / "code/inference.py")
    if backbone == "efficientnet_lite0":
        shutil.copyfile(ML / "efficientnet_lite.py", folder / "code/efficientnet_lite.py")
    network = torch.nn.Sequential(BACKBONES[backbone].build(), torch.nn.Linear(MODEL[backbone], CLASSES))
    torch.save(network.eval(), folder / "network.pth")


@contextlib.contextmanager
def container(model: Path, **settings: str) -> Iterator[int]:
    """The port of a serving container that is ready, with these environment variables."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "SAGEMAKER_BASE_DIR": str(model.parent),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        **settings,
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


def load(ports: list[int], bodies: list[bytes]) -> float:
    """Photos a second that sixteen callers, shared out to these ports, get answered, asking again once they are."""
    answered = [0] * CALLERS
    begin = time.perf_counter()

    def call(number: int) -> None:
        caller = Caller(ports[number % len(ports)])
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
        import inference
        from photos import centre_crop, read_photo

        self.backbone = inference.model_fn(str(model)).backbone
        began = time.perf_counter()
        self.crops = [centre_crop(read_photo(body, self.backbone.side), self.backbone.side) for body in bodies]
        self.reading = (time.perf_counter() - began) / len(bodies)  # seconds a photo

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


def _reading() -> float:
    return _bare[0].reading


def _batched() -> dict[int, float]:
    return {batch: _bare[0].batched(batch) for batch in BATCHES}


def backbone_figures(backbone: str, bodies: list[bytes], folder: Path) -> Iterator[Figure]:
    """The figures of one backbone."""
    our_model(backbone, folder / "ours/model")
    beginners_model(backbone, folder / "baseline/model")
    spawn = multiprocessing.get_context("spawn")
    with (
        container(folder / "ours/model") as ours,
        container(folder / "ours/model", OMP_NUM_THREADS="1") as first,
        container(folder / "ours/model", OMP_NUM_THREADS="1") as second,
        container(folder / "baseline/model") as baseline,
        ProcessPoolExecutor(1, spawn, _prepare, (folder / "ours/model", bodies)) as bare,
    ):
        yield alone(backbone, Caller(ours), Caller(first), Caller(baseline), bare, bodies)
        yield from together(backbone, [ours], [first, second], baseline, bare, bodies)


def alone(
    backbone: str, ours: Caller, single: Caller, baseline: Caller, bare: ProcessPoolExecutor, bodies: list[bytes]
) -> Figure:
    """One caller: of ours, of ours with one thread, of the baseline."""
    times: dict[str, list[float]] = {
        "ours, ms": [],
        "forward pass alone, ms": [],
        "ours with one thread, ms": [],
        "baseline handler, ms": [],
    }
    photo = cycle(bodies)
    for caller in (ours, single, baseline):
        for _ in range(CALLS):  # the first calls are slower
            caller.ask(next(photo))
    for _ in range(ROUNDS):
        times["ours, ms"] += [ours.ask(next(photo)) for _ in range(CALLS)]
        times["forward pass alone, ms"] += bare.submit(_one, CALLS).result()
        times["ours with one thread, ms"] += [single.ask(next(photo)) for _ in range(CALLS)]
        times["baseline handler, ms"] += [baseline.ask(next(photo)) for _ in range(CALLS)]
    medians = {name: 1000 * statistics.median(found) for name, found in times.items()}
    return Figure(
        f"endpoint, one caller, {backbone}",
        "median latency at the container over a bare forward pass of the network that serves, same photos decoded",
        medians["ours, ms"] / medians["forward pass alone, ms"],
        "times",
        1.25,
        limits=SMALL,
        detail=medians,
    )


def together(
    backbone: str, ours: list[int], single: list[int], baseline: int, bare: ProcessPoolExecutor, bodies: list[bytes]
) -> Iterator[Figure]:
    """Sixteen callers: of ours, of ours as two workers of one thread each, of the baseline."""
    rounds = [
        (load(ours, bodies), bare.submit(_batched).result(), load([baseline], bodies), load(single, bodies))
        for _ in range(LOAD_ROUNDS)
    ]
    forward = statistics.median(max(best.values()) for _, best, _, _ in rounds)
    reading = bare.submit(_reading).result() / len(os.sched_getaffinity(0))
    detail: dict[str, Any] = {
        "ours, photos/s": statistics.median(mine for mine, *_ in rounds),
        "ours as two workers of one thread each, photos/s": statistics.median(two for *_, two in rounds),
        "best batched forward pass, photos/s": forward,
        "best that also reads the photos, photos/s": 1 / (1 / forward + reading),
        "at a batch of": statistics.mode(max(best, key=best.__getitem__) for _, best, _, _ in rounds),
        "baseline handler, photos/s": statistics.median(theirs for _, _, theirs, _ in rounds),
    }
    yield Figure(
        f"endpoint, 16 callers, {backbone}",
        "photos a second at the container over the best bare batched forward pass",
        statistics.median(mine / max(best.values()) for mine, best, *_ in rounds),
        "times",
        0.85,
        "more",
        ONE_BY_ONE,
        detail,
    )
    yield Figure(
        f"endpoint, 16 callers, {backbone}, against the baseline",
        "photos a second at the container over a beginner's handler",
        statistics.median(mine / theirs for mine, _, theirs, _ in rounds),
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
