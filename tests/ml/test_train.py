import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import embeddings
import train
from dataset import Photo
from job import JobError
from outcome import temperature
from tests.ml.conftest import BACKBONE, Chain
from tests.vectors import write_vectors

LINE = re.compile(r"epoch=(\d+) train_loss=([\d.]+) valid_loss=([\d.]+) valid_accuracy=([\d.]+)")
CLASSES = ["001.Beagle", "002.Pug", "003.Poodle"]


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise: np.random.Generator) -> Path:
    """The model directory, with embeddings of three classes beside it.

    They overlap a little, and one photo in five is far off: the discriminant can be bettered.
    """
    centres = noise.normal(0, 1, (3, 1280))
    for split, photos, views in (("train", 750, 2), ("valid", 60, 1), ("test", 3, 1)):
        labels = np.arange(photos) % 3
        far = noise.choice([0.3, 6], (photos, 1, 1), p=[0.8, 0.2])
        features = 5 + 0.3 * (centres[labels][:, None] + noise.normal(0, 6, (photos, views, 1280)) * far)
        write_vectors(tmp_path / "embeddings", split, [CLASSES[label] for label in labels], features)
    monkeypatch.setattr(train, "EMBEDDINGS", tmp_path / "embeddings")
    monkeypatch.setattr(train, "WEIGHTS", tmp_path / "no weights channel")
    monkeypatch.setattr(train, "MODEL", tmp_path / "model")
    return tmp_path / "model"


def run(*arguments: str) -> None:
    train.main(["--backbone", BACKBONE, *arguments])


def test_learns_and_prints_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    run("--epochs", "5", "--dropout", "0")
    lines = [LINE.fullmatch(line) for line in capsys.readouterr().out.splitlines()]
    epochs = [line for line in lines if line][:-1]
    assert [int(line[1]) for line in epochs] == [0, 1, 2, 3, 4, 5]
    assert float(epochs[5][2]) < float(epochs[1][2])
    assert float(epochs[-1][4]) > 0.6


def test_the_last_line_is_that_of_the_model_kept(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--epochs", "25", "--learning_rate", "0.02")
    lines = LINE.findall(capsys.readouterr().out)
    best = min(lines[:-1], key=lambda line: float(line[2]))
    assert lines[-1] == best
    assert best != lines[-2], "the last epoch was the best: the test shows nothing"
    summary = json.loads((model / "model.json").read_text())
    assert (summary["epoch"], f"{summary['valid_loss']:.4f}") == (int(best[0]), best[2])


def scores_of(model: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The saved head's scores of the valid photos, and their labels."""
    head = torch.load(model / "head.pth", weights_only=True)
    valid = train.read_split("valid", CLASSES, 1280, torch.device("cpu"))
    return valid.features @ head["weight"].T + head["bias"], valid.labels


def test_the_saved_head_scores_raw_features_at_the_temperature(model: Path) -> None:
    run("--epochs", "4")
    scores, labels = scores_of(model)
    summary = json.loads((model / "model.json").read_text())
    loss = torch.nn.functional.cross_entropy(scores * summary["temperature"], labels).item()
    assert summary["valid_loss"] == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_is_that_at_which_scores_tell_their_chances(true: float) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(20_000, 4, generator=generator) * 2
    labels = torch.multinomial((scores / true).softmax(1), 1, generator=generator)[:, 0]
    assert temperature(scores, labels) == pytest.approx(true, rel=0.06)


def test_the_learning_curves_are_kept(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--epochs", "3")
    printed = [tuple(map(float, line[1:])) for line in LINE.findall(capsys.readouterr().out)[:-1]]
    history = json.loads((model / "model.json").read_text())["history"]
    kept = [tuple(round(epoch[name], 4) for name in train.CURVES) for epoch in history]
    assert kept == printed


def test_a_trial_stores_its_head_only(model: Path) -> None:
    run("--epochs", "1", "--dropout", "0.1")
    assert sorted(path.name for path in model.iterdir()) == ["classes.json", "head.pth", "model.json"]
    assert json.loads((model / "classes.json").read_text()) == CLASSES
    summary = json.loads((model / "model.json").read_text())
    assert summary["backbone"] == BACKBONE
    assert summary["hyperparameters"]["dropout"] == 0.1


def test_the_final_training_stores_all_that_serving_needs(trained: Chain, weights: Path) -> None:
    model = trained.base / "model"
    assert (model / "backbone.pth").read_bytes() == weights.read_bytes()
    assert {"inference.py", "backbones.py", "requirements.txt"} <= {path.name for path in (model / "code").iterdir()}


def test_does_not_import_what_takes_longer_than_a_trial(trained: Chain) -> None:
    imports = (trained.base / "train.imports").read_text()
    assert "import time" in imports
    assert "torch._dynamo" not in imports
    assert "torchvision" not in imports


def test_the_same_seed_trains_the_same_head(model: Path) -> None:
    heads = []
    for seed in ("3", "3", "4"):
        run("--epochs", "3", "--seed", seed)
        heads.append(torch.load(model / "head.pth", weights_only=True)["weight"])
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_the_model_does_not_depend_on_how_the_photos_were_shared_out(model: Path) -> None:
    run("--epochs", "2")
    whole = (model / "head.pth").read_bytes()
    for split in embeddings.SPLITS:
        photos = embeddings.read_photos(train.EMBEDDINGS, split)
        features = embeddings.read_features(train.EMBEDDINGS, split, photos.names)
        named = [Photo(Path(), *pair) for pair in zip(photos.names.tolist(), photos.class_names.tolist(), strict=True)]
        for host, first in (("algo-1", 1), ("algo-2", 0)):
            embeddings.write(train.EMBEDDINGS, split, host, named[first::2], features[first::2])
    run("--epochs", "2")
    assert (model / "head.pth").read_bytes() == whole


def test_refuses_embeddings_of_another_backbone() -> None:
    with pytest.raises(JobError, match="holds 1280 features a photo, --backbone makes 2048: embed with that backbone"):
        train.main(["--backbone", "resnet50"])


def test_refuses_a_missing_channel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(train, "EMBEDDINGS", tmp_path / "none")
    with pytest.raises(JobError, match=r"train has no vectors: the embeddings channel must hold what"):
        run()


def test_refuses_a_weights_channel_without_the_backbone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(train, "WEIGHTS", tmp_path)
    with pytest.raises(JobError, match=r"efficientnet_lite0\.pth is missing: the weights channel must hold"):
        run("--epochs", "1")


def test_tells_when_training_diverged() -> None:
    write_vectors(train.EMBEDDINGS, "train", CLASSES * 10, np.full((30, 1, 1280), np.nan))
    with pytest.raises(JobError, match=r"valid_loss is nan before training: the vectors are broken, embed"):
        run()
