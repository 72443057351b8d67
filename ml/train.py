"""Trains the classifier's head on the embeddings: one trial of a tuning job, or the final model.

A SageMaker training job in script mode: `train.py --backbone resnet50 --learning_rate 0.001 --epochs 30`.

Reads the channel `embeddings` (what embed.py wrote, see `embeddings.py`) and writes `head.pth`, `classes.json` and
`model.json` to the model directory. With the channel `weights`, that of the final training, the model directory also
gets `backbone.pth` and `code/`, all that serving needs. With `finetune_epochs` above 0 and the photos in the channels
`train` and `valid`, the training goes on from the head and trains the backbone too (`finetune.py`); `backbone.pth` is
then what that made.

The model kept is that of the epoch with the lowest valid_loss, its scores divided by the temperature that makes their
softmax the likeliest on the valid photos. Of the best linear head and the fine-tuned models it is the one whose loss is
lowest after that division. Its line is printed once more at the end, because a tuning job takes the last value it reads
as the trial's result.

Several processes that torchrun started (`parallel.py`) train one model: `batch_size` is that of a step of all of them
together, each takes its share of every batch, and their gradients are added up before the step. All draw the same
batches and the same dropout from the seed, so the model is that of one process alone but for rounding. The first one
prints and saves.
"""

import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

import embeddings
from backbones import BACKBONES, WeightsError, read_network
from head import Split, fit
from job import BASE, FAILURE, JobError, parse, run
from outcome import Figures, Model, calibrated_loss, temperature
from parallel import Group, joined

EMBEDDINGS = Path(os.environ.get("SM_CHANNEL_EMBEDDINGS", BASE / "input/data/embeddings"))
WEIGHTS = Path(os.environ.get("SM_CHANNEL_WEIGHTS", BASE / "input/data/weights"))
MODEL = Path(os.environ.get("SM_MODEL_DIR", BASE / "model"))

BROKEN = "before training: the vectors are broken, embed the photos again"
CURVES = ("train_loss", "valid_loss", "valid_accuracy")  # of an epoch, kept in model.json
SERVING_CODE = ("inference.py", "backbones.py", "efficientnet_lite.py", "photos.py", "requirements.txt")


@dataclass(frozen=True)
class Hyperparameters:
    """The job's hyperparameters."""

    backbone: str = "resnet50"
    learning_rate: float = 0.001
    batch_size: int = 32
    epochs: int = 30
    weight_decay: float = 0.01
    dropout: float = 0.3
    seed: int = 0
    finetune_epochs: int = 0
    finetune_learning_rate: float = 0.0001

    def problems(self) -> Iterator[str]:
        """What is out of range."""
        if self.backbone not in BACKBONES:
            yield f"--backbone must be one of {', '.join(BACKBONES)}, not {self.backbone!r}"
        for name in ("learning_rate", "finetune_learning_rate"):
            if not 0 < getattr(self, name) <= 1:
                yield f"--{name} must be above 0 and at most 1, not {getattr(self, name)}"
        for name in ("batch_size", "epochs"):
            if getattr(self, name) < 1:
                yield f"--{name} must be 1 or more, not {getattr(self, name)}"
        if self.finetune_epochs < 0:
            yield f"--finetune_epochs must be 0 or more, not {self.finetune_epochs}"
        if not 0 <= self.weight_decay <= 1:
            yield f"--weight_decay must be from 0 to 1, not {self.weight_decay}"
        if not 0 <= self.dropout < 1:
            yield f"--dropout must be at least 0 and below 1, not {self.dropout}"


def read_split(name: str, classes: list[str], features: int, device: torch.device) -> Split:
    """A split of the embeddings on a device, each view of a photo a row. Raises JobError."""
    found = embeddings.read_photos(EMBEDDINGS, name)
    vectors = torch.from_numpy(embeddings.read_features(EMBEDDINGS, name, found.names))
    _, views, width = vectors.shape
    if width != features:
        raise JobError(
            f"{EMBEDDINGS / name} holds {width} features a photo, --backbone makes {features}: embed with that backbone"
        )
    labels = torch.from_numpy(np.searchsorted(classes, found.class_names)).repeat_interleave(views)
    return Split(vectors.flatten(0, 1).to(device), labels.to(device))


F = TypeVar("F", bound=Figures)


class DivergedError(JobError):
    """The loss is no number any more; the message says which rate to lower."""


def announced(epochs: Iterator[F], group: Group, rate: str = "--learning_rate") -> Iterator[F]:
    """The same epochs, each printed once as it ends. Raises DivergedError."""
    for epoch in epochs:
        if not math.isfinite(epoch.valid_loss):
            when = f"in epoch {epoch.number}: lower {rate}" if epoch.number else BROKEN
            raise DivergedError(f"valid_loss is {epoch.valid_loss} {when}")
        if group.first:
            print(epoch, flush=True)
        yield epoch


def finetuned(head: Model, classes: list[str], options: Hyperparameters, group: Group) -> tuple[list[Figures], Model]:
    """Trains the backbone too, on from a head: the epochs of that, and the better of the two models. Raises JobError.

    The better one has the lower valid_loss at its own temperature, as it would be saved.
    """
    # These import torch's compiler, which takes longer than a trial.
    from crops import embedded_photos
    from finetune import Finetuning, Settings

    settings = Settings(
        options.backbone,
        options.finetune_epochs,
        options.finetune_learning_rate,
        options.batch_size,
        options.weight_decay,
        options.dropout,
        options.seed,
        number=options.epochs,
    )
    train, valid = (embedded_photos(EMBEDDINGS, split, classes) for split in ("train", "valid"))
    try:
        network = read_network(options.backbone, weights_file(options))
    except WeightsError as error:
        raise JobError(str(error)) from error
    training = Finetuning(settings, network, (head.weight, head.bias), train, valid, group.device)
    torch.set_num_threads(len(os.sched_getaffinity(0)))  # a head alone is done sooner with one
    print(f"fine-tunes for up to {options.finetune_epochs} epochs on {group.device}", flush=True)
    try:
        for _ in announced(training.epochs(), group, "--finetune_learning_rate"):
            pass
    except DivergedError as error:
        print(f"fine-tuning ends early: {error}", flush=True)
    labels = torch.tensor(valid.labels)
    models = {"the linear head": head, "the fine-tuned model": training.best or head}
    losses = {name: calibrated_loss(model.scores, labels) for name, model in models.items()}
    told, better = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items()), min(losses, key=losses.__getitem__)
    print(f"calibrated_loss: {told}; kept {better}", flush=True)
    return [*training.history], models[better]


def weights_file(options: Hyperparameters) -> Path:
    """The backbone's state_dict in the weights channel. Raises JobError."""
    weights = WEIGHTS / f"{options.backbone}.pth"
    if not weights.is_file():
        raise JobError(f"{weights} is missing: the weights channel must hold the backbone's state_dict")
    return weights


def save(epochs: Sequence[Figures], kept: Model, divisor: float, classes: list[str], options: Hyperparameters) -> None:
    """Writes the model directory: the model kept, its scores divided by the divisor. Raises JobError."""
    MODEL.mkdir(parents=True, exist_ok=True)
    torch.save({"weight": kept.weight / divisor, "bias": kept.bias / divisor}, MODEL / "head.pth")
    (MODEL / "classes.json").write_text(json.dumps(classes))
    summary = {
        "backbone": options.backbone,
        "hyperparameters": asdict(options),
        "epoch": kept.epoch.number,
        "valid_loss": kept.epoch.valid_loss,
        "valid_accuracy": kept.epoch.valid_accuracy,
        "temperature": divisor,
        "history": [{name: getattr(epoch, name) for name in CURVES} for epoch in epochs],
    }
    (MODEL / "model.json").write_text(json.dumps(summary))
    if WEIGHTS.is_dir():
        if kept.backbone:
            torch.save(kept.backbone, MODEL / "backbone.pth")
        else:
            shutil.copyfile(weights_file(options), MODEL / "backbone.pth")
        (MODEL / "code").mkdir(exist_ok=True)
        for name in SERVING_CODE:
            shutil.copyfile(Path(__file__).with_name(name), MODEL / "code" / name)


def main(argv: list[str]) -> None:
    """Trains, and saves the best epoch's model."""
    with joined() as group:
        options = parse(Hyperparameters, argv)
        if options.finetune_epochs and group.size > 1:
            raise JobError(
                f"fine-tuning takes one process, this is one of {group.size}: train on one instance, or with "
                "--finetune_epochs 0"
            )
        features = BACKBONES[options.backbone].features
        classes = embeddings.classes_of(EMBEDDINGS)
        train, valid = (read_split(name, classes, features, group.device) for name in ("train", "valid"))
        epochs = list(announced(fit(train, valid, len(classes), options, group), group))
        best = min(epochs, key=lambda epoch: epoch.valid_loss)
        if group.first:
            kept = Model(best, best.weight, best.bias, best.scores(valid.features.cpu()))
            more: list[Figures] = []
            if options.finetune_epochs:
                more, kept = finetuned(kept, classes, options, group)
            divisor = temperature(kept.scores, valid.labels.cpu())
            save([*epochs, *more], kept, divisor, classes, options)
            print(f"kept the model of epoch {kept.epoch.number}:\n{kept.epoch}", flush=True)


if __name__ == "__main__":
    run(main, FAILURE)
