"""Several processes train one model: train.py as torchrun starts it, and as the variables of torchrun start it."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.ml.conftest import BACKBONE, ML
from tests.vectors import write_vectors

LINE = re.compile(r"epoch=(\d+) train_loss=([\d.]+) valid_loss=([\d.]+) valid_accuracy=([\d.]+)")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
# 1,501 rows in batches of 64: the last one is of 29, which no number of processes here divides.
OPTIONS = ("--backbone", BACKBONE, "--epochs", "4", "--batch_size", "64", "--learning_rate", "0.003", "--seed", "5")


@pytest.fixture
def base(tmp_path: Path, noise: np.random.Generator) -> Path:
    """A base directory as /opt/ml, with embeddings of three classes."""
    centres = noise.normal(0, 1, (3, 1280))
    for split, photos in (("train", 1501), ("valid", 12), ("test", 3)):
        labels = np.arange(photos) % 3
        features = 5 + 0.3 * (centres[labels][:, None] + noise.normal(0, 25, (photos, 1, 1280)))
        classes = [("Beagle", "Poodle", "Pug")[label] for label in labels]
        write_vectors(tmp_path / "input/data/embeddings", split, classes, features)
    return tmp_path


def start(base: Path, *arguments: str, launcher: Sequence[str] = (), **environment: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "SAGEMAKER_"))}
    return subprocess.Popen(
        [sys.executable, *launcher, str(ML / "train.py"), *OPTIONS, *arguments],
        env={**clean, "SAGEMAKER_BASE_DIR": str(base), "PYTHONPATH": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def start_two(base: Path, *arguments: str, **second: str) -> list[subprocess.Popen[str]]:
    """Two processes by the variables alone; `second`: what only the second one's environment has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "SM_NETWORK_INTERFACE_NAME": "lo"}
    own = ({"RANK": "0", "SM_CURRENT_HOST": "algo-1"}, {"RANK": "1", "SM_CURRENT_HOST": "algo-2", **second})
    return [start(base, *arguments, launcher=(), **group, **each) for each in own]


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_train_the_model_of_one(base: Path, processes: int) -> None:
    alone = output(start(base))
    expected = torch.load(base / "model/head.pth", weights_only=True)
    (base / "model").rename(base / "model of one")
    together = output(start(base, launcher=(*TORCHRUN, str(processes))))
    head = torch.load(base / "model/head.pth", weights_only=True)
    torch.testing.assert_close(head, expected, rtol=1e-4, atol=1e-6)
    lines = [[list(map(float, line)) for line in LINE.findall(text)] for text in (alone, together)]
    assert len(lines[0]) == 6  # the start, an epoch each, and that of the model kept
    np.testing.assert_allclose(lines[1], lines[0], atol=1.01e-4)  # a digit of the last place


def test_each_process_takes_its_share_of_the_rows(base: Path) -> None:
    first, second = map(output, start_two(base))
    assert "process 0 of 2 took 751 of 1501 rows" in first
    assert "process 1 of 2 took 750 of 1501 rows" in second
    assert not LINE.search(second), "the tuner would read each epoch twice"


def test_a_batch_may_be_smaller_than_the_group(base: Path, noise: np.random.Generator) -> None:
    classes = ["Beagle", "Poodle", "Pug"] * 20
    write_vectors(base / "input/data/embeddings", "train", classes, noise.normal(0, 1, (60, 1, 1280)))
    first, second = map(output, start_two(base, "--batch_size", "1", "--epochs", "1"))
    assert "took 60 of 60 rows" in first
    assert "took 0 of 60 rows" in second


def test_only_the_first_process_saves_a_model(base: Path, tmp_path: Path) -> None:
    for process in start_two(base, SM_MODEL_DIR=str(tmp_path / "model of the second")):
        output(process)
    assert (base / "model/head.pth").is_file()
    assert not (tmp_path / "model of the second").exists()


def test_all_end_with_the_reason_of_the_one_that_failed(base: Path, tmp_path: Path) -> None:
    """The first one reads its vectors and waits in the first step; it does not wait until its patience ends."""
    nowhere = tmp_path / "nowhere"
    first, second = start_two(base, SM_CHANNEL_EMBEDDINGS=str(nowhere), SAGEMAKER_BASE_DIR=str(tmp_path / "second"))
    reason = f"{nowhere}/train has no vectors: the embeddings channel must hold what embed.py wrote"
    assert second.communicate(timeout=120)[1].splitlines()[-1] == reason
    assert first.communicate(timeout=120)[1].splitlines()[-1] == f"algo-2: {reason}"
    assert (first.returncode, second.returncode) == (1, 1)
    assert (tmp_path / "second/output/failure").read_text() == reason
    assert (base / "output/failure").read_text() == f"algo-2: {reason}"
    assert not (base / "model").exists()


def test_fine_tuning_refuses_to_be_one_of_several(base: Path) -> None:
    for process in start_two(base, "--finetune_epochs", "1"):
        reason = process.communicate(timeout=120)[1].splitlines()[-1]
        assert process.returncode == 1
        assert "fine-tuning takes one process, this is one of 2: train on one instance" in reason


def test_the_loss_of_a_process_ends_the_others(base: Path) -> None:
    first, second = start_two(base, "--epochs", "100000")
    assert second.stdout
    assert "process 1 of 2" in second.stdout.readline()
    second.kill()
    errors = first.communicate(timeout=120)[1]
    assert first.returncode == 1
    second.communicate()
    assert (base / "output/failure").read_text() == errors.splitlines()[-1]
