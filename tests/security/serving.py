"""The serving container alone, with the classifier in it, asked over HTTP as SageMaker asks it."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.endpoint import our_model
from tests.stores import eventually

SCRIPT = Path(__file__).parents[2] / "localaws/containers/serving.py"


class Caller:
    """One caller with a connection of its own, which it opens anew when the container closes it."""

    def __init__(self, port: int):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(self, body: bytes, **headers: str) -> tuple[int, str]:
        """Status and text of the answer; header names are written with underscores."""
        names = {name.replace("_", "-"): value for name, value in ({"Content_Type": "image/jpeg"} | headers).items()}
        self.connection.request("POST", "/invocations", body, names)
        answer = self.connection.getresponse()
        return answer.status, answer.read().decode()


@dataclass(frozen=True)
class Container:
    """A container that serves."""

    process: psutil.Process
    port: int

    def megabytes(self) -> float:
        """Its resident memory."""
        return float(self.process.memory_info().rss / 2**20)


@contextlib.contextmanager
def container(folder: Path) -> Iterator[Container]:
    """One with a small backbone and a random head, its log in `folder`."""
    our_model("efficientnet_lite0", folder / "model")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "OMP_NUM_THREADS": "1",  # several would wait for each other's processors where others work too
        "SAGEMAKER_BASE_DIR": str(folder),
        "SAGEMAKER_BIND_TO_PORT": str(port),
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", str(SCRIPT)], env=environment, cwd=folder / "model", stdout=log, stderr=log
        )
        try:
            eventually(lambda: process.poll() is not None or _serves(port))
            assert process.poll() is None, (folder / "log").read_text()
            yield Container(psutil.Process(process.pid), port)
        finally:
            process.kill()
            process.wait()


def _serves(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port)):
            return True
    except OSError:
        return False
