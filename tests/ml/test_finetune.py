"""Fine-tuning the small backbone on a handful of drawn dogs, and train.py with it as the process it is on SageMaker."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import crops
import finetune
import train
from backbones import BACKBONES, read_network
from crops import Photos
from dataset import find_photos
from finetune import Finetuning, Network, Settings, schedule
from inference import input_fn, model_fn, predict_fn
from job import JobError
from tests.ml.conftest import BACKBONE, Chain
from tests.security.pickles import Code

LINE = re.compile(
    r"epoch=\d+ train_loss=[\d.]+ valid_loss=[\d.]+ valid_accuracy=[\d.]+"
    r"(?: calibrated_loss=[\d.]+ photos_per_second=[\d.]+)?"
)
SETTINGS = Settings(
    BACKBONE, epochs=3, learning_rate=0.001, batch_size=4, weight_decay=0.01, dropout=0.1, seed=0, number=30
)
NOTHING = (torch.zeros(4, 1280), torch.zeros(4))  # a head that takes all classes for equally likely

Make = Callable[..., Finetuning]


@pytest.fixture(autouse=True)
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(finetune, "CHECKPOINTS", tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Several add up in an order of their own, and AdamW makes a step of the least difference."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def photos(folder: Path) -> Photos:
    """Two of each class, or all there are."""
    found = [photo for photo in find_photos(folder) if not photo.name.endswith("2.jpg")]
    classes = sorted({photo.class_name for photo in found})
    return Photos(folder, [photo.name for photo in found], [classes.index(photo.class_name) for photo in found])


@pytest.fixture
def make(dogs: Path, weights: Path) -> Make:
    """A training from a head that knows nothing, with SETTINGS but for what is given."""

    def make(valid: Photos | None = None, **changed: Any) -> Finetuning:
        settings = replace(SETTINGS, **changed)
        training, valid = photos(dogs / "train"), valid or photos(dogs / "valid")
        return Finetuning(settings, read_network(BACKBONE, weights), NOTHING, training, valid, torch.device("cpu"))

    return make


def state(training: Finetuning) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in training.model.state_dict().items()}


def moved(before: dict[str, Tensor], training: Finetuning) -> set[str]:
    return {name for name, value in state(training).items() if not torch.equal(value, before[name])}


def test_learns_the_photos(make: Make, dogs: Path) -> None:
    training = make(photos(dogs / "train"), epochs=5)
    epochs = list(training.epochs())
    assert [epoch.number for epoch in epochs] == [31, 32, 33, 34, 35]
    assert epochs[-1].train_loss < epochs[0].train_loss
    assert training.best
    assert training.best.epoch.valid_loss < 0.8 * np.log(4)
    assert training.best.epoch.valid_accuracy > 0.7


def test_the_best_model_is_the_average_that_was_judged(make: Make, dogs: Path) -> None:
    training = make(epochs=2)
    list(training.epochs())
    best = training.best
    assert best
    assert best.backbone
    assert best.epoch == min(training.history, key=lambda epoch: epoch.calibrated_loss)
    network = BACKBONES[BACKBONE].build()
    network.load_state_dict(best.backbone)
    judged = Network(BACKBONES[BACKBONE], network, best.weight, best.bias, 0.5).eval()
    valid = photos(dogs / "valid")
    pixels = torch.stack([torch.tensor(training._data[0, place][0]) for place in range(len(valid.names))])
    with torch.inference_mode():
        torch.testing.assert_close(judged(pixels), best.scores, rtol=1e-3, atol=1e-4)
    assert cross_entropy(best.scores, torch.tensor(valid.labels)).item() == pytest.approx(best.epoch.valid_loss)


def test_the_last_stage_trains_alone_and_then_all_do(make: Make) -> None:
    training = make()
    epochs, before = training.epochs(), state(training)
    next(epochs)
    last = {name for name in before if re.match(r"head|backbone\.(_blocks\.1[1-5]|_conv_head|_bn1)\.", name)}
    alone = moved(before, training)
    assert alone
    assert alone <= last
    next(epochs)
    trainable = {name for name, _ in training.model.named_parameters()}
    assert moved(before, training) == trainable


def test_the_statistics_of_the_pretraining_stay(make: Make) -> None:
    training = make(epochs=2)
    before = state(training)
    list(training.epochs())
    now = moved(before, training)
    assert "backbone._bn0.weight" in now
    assert not any("running" in name or "num_batches" in name for name in now)


def test_a_stage_learns_slower_than_the_one_after_it(make: Make) -> None:
    training = make()
    rates = [group["rate"] for group in training.optimizer.param_groups]
    assert len(rates) == 5
    assert rates[-1] == SETTINGS.learning_rate
    assert all(earlier == pytest.approx(later / 2.6) for earlier, later in pairwise(rates))
    next(training.epochs())
    assert training.optimizer.param_groups[0]["lr"] < training.optimizer.param_groups[-1]["lr"] <= rates[-1]


@pytest.mark.parametrize("name", BACKBONES)
def test_every_parameter_is_of_one_stage(name: str) -> None:
    spec = BACKBONES[name]
    network = Network(spec, spec.build(), torch.zeros(2, spec.features), torch.zeros(2), 0)
    stages = network.stages(spec)
    assert len(stages) == len(spec.stages)
    assert [id(parameter) for stage in stages for parameter in stage] == [id(one) for one in network.parameters()]


def test_the_rate_rises_in_a_line_and_falls_to_nothing() -> None:
    shares = [schedule(step, 100) for step in range(100)]
    assert shares[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert shares[55] == pytest.approx(0.5)
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert 0 < shares[99] < 0.01
    assert [schedule(0, 1), schedule(1, 2)] == [1, 1]


def test_an_interrupted_training_ends_with_the_model_of_one_that_was_not(
    make: Make, checkpoints: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = make()
    list(whole.epochs())
    (checkpoints / "finetune.pth").unlink()
    assert [epoch.number for epoch in islice(make().epochs(), 2)] == [31, 32]  # ends before the second is written
    rest = make()
    assert [epoch.number for epoch in rest.epochs()] == [32, 33]
    assert "goes on after epoch 31, from " in capsys.readouterr().out
    assert whole.best
    assert rest.best
    torch.testing.assert_close(state(rest), state(whole), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(rest.best.backbone, whole.best.backbone, rtol=1e-4, atol=1e-6)
    losses = [[(epoch.train_loss, epoch.valid_loss) for epoch in training.history] for training in (rest, whole)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_a_finished_training_is_not_repeated(make: Make) -> None:
    first, again = make(epochs=1), make(epochs=1)
    list(first.epochs())
    assert list(again.epochs()) == []
    assert again.history == first.history
    assert again.best
    assert first.best
    assert torch.equal(again.best.weight, first.best.weight)


def test_the_same_seed_makes_the_same_model(make: Make, checkpoints: Path) -> None:
    heads = []
    for seed in (3, 3, 4):
        training = make(epochs=1, seed=seed)
        list(training.epochs())
        (checkpoints / "finetune.pth").unlink()
        heads.append(state(training)["head.weight"])
    torch.testing.assert_close(heads[0], heads[1], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(heads[0], heads[2], rtol=1e-4, atol=1e-6)


def test_ends_when_it_only_gets_worse(make: Make, dogs: Path) -> None:
    valid = photos(dogs / "train")
    wrong = Photos(valid.folder, valid.names, [(label + 1) % 4 for label in valid.labels])
    training = make(wrong, epochs=9)
    list(training.epochs())
    assert training.best
    assert len(training.history) == training.best.epoch.number - 30 + finetune.PATIENCE < 9


@pytest.mark.parametrize("content", [b"", b"no checkpoint", [1, 2], {"made_of": "others"}])
def test_a_bad_checkpoint_is_told_and_written_over(
    make: Make, checkpoints: Path, content: object, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints.mkdir()
    path = checkpoints / "finetune.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    assert len(list(make(epochs=1).epochs())) == 1
    assert re.match(r"starts afresh: finetune\.pth is no checkpoint of this training: .+\n$", capsys.readouterr().out)
    assert len(torch.load(path, weights_only=True)["history"]) == 1


def test_code_in_a_checkpoint_does_not_run(make: Make, checkpoints: Path, tmp_path: Path) -> None:
    checkpoints.mkdir()
    torch.save({"made_of": Code(tmp_path / "ran")}, checkpoints / "finetune.pth")
    assert len(list(make(epochs=1).epochs())) == 1
    assert not (tmp_path / "ran").exists()


def run_train(chain: Chain, base: Path, *arguments: str, embeddings: Path | None = None) -> CompletedProcess[str]:
    """train.py in a base directory of its own, with the chain's photos and its embeddings unless others are given."""
    given = chain.base / "processing/input"
    channels = {
        "SM_CHANNEL_EMBEDDINGS": embeddings or chain.base / "embeddings",
        "SM_CHANNEL_WEIGHTS": given / "weights",
        "SM_CHANNEL_TRAIN": given / "train",
        "SM_CHANNEL_VALID": given / "valid",
        "SM_MODEL_DIR": base / "model",
    }
    arguments = ("--backbone", BACKBONE, "--batch_size", "8", *arguments)
    return chain.run_job("train.py", base, *arguments, **{name: str(path) for name, path in channels.items()})


def without_meaning(embeddings: Path, folder: Path) -> Path:
    """The embeddings of the same photos, their features replaced by noise: no head of them is any good."""
    shutil.copytree(embeddings, folder)
    noise = np.random.default_rng(0)
    for file in folder.glob("*/*.npz"):
        with np.load(file) as arrays:
            content = dict(arrays)
        content["features"] = noise.normal(size=content["features"].shape).astype(np.float32)
        np.savez(file, **content)
    return folder


def test_the_fine_tuned_model_is_kept_and_serves(trained: Chain, tmp_path: Path, weights: Path) -> None:
    finetuning = ("--finetune_epochs", "4", "--finetune_learning_rate", "0.001")
    poor = without_meaning(trained.base / "embeddings", tmp_path / "embeddings")
    done = run_train(trained, tmp_path, "--epochs", "2", *finetuning, embeddings=poor)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum(bool(LINE.fullmatch(line)) for line in lines) == 8
    assert "photos_per_second" in lines[-1]
    summary = json.loads((tmp_path / "model/model.json").read_text())
    assert lines[-1].startswith(f"epoch={summary['epoch']} ")
    assert summary["epoch"] > 2
    assert len(summary["history"]) == 7
    assert summary["history"][summary["epoch"]]["valid_loss"] == summary["valid_loss"]
    assert (tmp_path / "model/backbone.pth").read_bytes() != weights.read_bytes()

    model = model_fn(str(tmp_path / "model"))
    valid = find_photos(trained.base / "processing/input/valid")
    classes = json.loads((tmp_path / "model/classes.json").read_text())
    scores = [predict_fn(input_fn(photo.path.read_bytes(), "image/jpeg"), model)["scores"][0] for photo in valid]
    labels = torch.tensor([classes.index(photo.class_name) for photo in valid])
    loss = cross_entropy(torch.tensor(scores) * summary["temperature"], labels).item()
    assert loss == pytest.approx(summary["valid_loss"], abs=0.02)  # it may serve in bfloat16


def test_the_linear_head_stays_when_fine_tuning_makes_it_worse(trained: Chain, tmp_path: Path, weights: Path) -> None:
    done = run_train(trained, tmp_path, "--epochs", "12", "--finetune_epochs", "2", "--finetune_learning_rate", "0.03")
    assert done.returncode == 0, done.stderr
    assert "kept the linear head" in done.stdout
    summary = json.loads((tmp_path / "model/model.json").read_text())
    assert summary["epoch"] <= 12
    assert len(summary["history"]) == 15
    assert "photos_per_second" not in done.stdout.splitlines()[-1]
    assert (tmp_path / "model/backbone.pth").read_bytes() == weights.read_bytes()


@pytest.mark.parametrize(
    ("channel", "reason"),
    [
        ("train", r"\.jpg is missing: fine-tuning needs a channel train with its photos$"),
        ("weights", r"efficientnet_lite0\.pth is missing: the weights channel must hold"),
    ],
)
def test_a_missing_channel_is_one_clear_line(
    trained: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channel: str, reason: str
) -> None:
    given = trained.base / "processing/input"
    monkeypatch.setattr(train, "EMBEDDINGS", trained.base / "embeddings")
    monkeypatch.setattr(train, "WEIGHTS", given / "weights" if channel == "train" else tmp_path / "none")
    monkeypatch.setitem(crops.CHANNELS, "train", given / "train" if channel == "weights" else tmp_path / "none")
    monkeypatch.setitem(crops.CHANNELS, "valid", given / "valid")
    with pytest.raises(JobError, match=reason):
        train.main(["--backbone", BACKBONE, "--epochs", "1", "--finetune_epochs", "1"])
