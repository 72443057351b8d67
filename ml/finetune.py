"""Trains the whole network on the photos, from where the linear head on its frozen features has come to.

First the head, then all: a head that fits spares the features the large first steps that would distort them (Kumar et
al. 2022, arXiv:2202.10054). The last stage trains alone for the first third of the epochs, then all do, each stage at a
smaller rate than the one after it (Howard and Ruder 2018, arXiv:1801.06146, for both).

BatchNorm keeps the statistics of the pretraining: those of a small batch are noisy, and those of a few thousand photos
are no better than a million's. So training and serving also compute the same. Its scales and shifts do train.

What is drawn at random follows from the seed, the epoch and the photo's name. So a training that was interrupted goes
on from its checkpoint, written once an epoch, to the model of one that was not.
"""

import hashlib
import json
import math
import pickle
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from itertools import islice
from random import Random

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout
from torch.nn.utils import convert_conv2d_weight_memory_format
from torch.optim import AdamW
from torch.optim.swa_utils import get_ema_multi_avg_fn

from backbones import BACKBONES, Pixels, Spec
from crops import Crops, Photos, read_ahead
from job import BASE
from outcome import Figures, Model, calibrated_loss

CHECKPOINTS = BASE / "checkpoints"  # SageMaker copies it to S3 as it changes, and back for a job that goes on

ALONE = 3  # the last stage trains alone for one of so many parts of the epochs
STAGE_RATE = 1 / 2.6  # a stage's rate as a share of the next one's: Howard and Ruder's
WARM_UP = 0.1  # of all steps: the first few gradients tell AdamW too little of their scale
SMOOTHING = 0.1  # of the labels (Szegedy et al. 2015, arXiv:1512.00567): thousands of photos are soon known by heart
AVERAGED = 1000  # steps that the average of the weights reaches back, or an epoch if that is shorter
PATIENCE = 3  # epochs without a better calibrated_loss end the training


@dataclass(frozen=True)
class Settings:
    """What the model follows from, besides the photos and where it starts; `number` is the first epoch's less one."""

    backbone: str
    epochs: int
    learning_rate: float
    batch_size: int
    weight_decay: float
    dropout: float
    seed: int
    number: int = 0


class Network(nn.Module):
    """Crops uint8 (n, side, side, 3) to scores (n, classes): a backbone and a head."""

    def __init__(self, spec: Spec, backbone: nn.Module, weight: Tensor, bias: Tensor, rate: float):
        super().__init__()
        self.pixels = Pixels(spec)
        self.backbone = backbone.eval()
        self.head = nn.Linear(weight.shape[1], weight.shape[0])
        self.head.load_state_dict({"weight": weight, "bias": bias})
        self.dropped = rate

    def train(self, mode: bool = True) -> "Network":
        """Turns dropout on or off; the backbone always computes as it serves."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, crops: Tensor) -> Tensor:
        """The scores."""
        scores: Tensor = self.head(dropout(self.backbone(self.pixels(crops)), self.dropped, self.training))
        return scores

    def stages(self, spec: Spec) -> list[list[nn.Parameter]]:
        """The parameters of each stage, from the photo on; the head's are of the last one."""
        stages: list[list[nn.Parameter]] = []
        for name, parameter in self.backbone.named_parameters():
            if name.startswith(spec.stages[len(stages) : len(stages) + 1]):
                stages.append([])
            stages[-1].append(parameter)
        stages[-1] += self.head.parameters()
        return stages


def schedule(step: int, steps: int) -> float:
    """The share of the full rate at a step, from 0, of all steps: up in a straight line, down by half a cosine."""
    rising = max(1, round(WARM_UP * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))


@dataclass(frozen=True)
class Tuned(Figures):
    """What an epoch reached, and how many photos of both splits went through the network in a second.

    `calibrated_loss` is the valid photos' at the temperature that makes them likeliest, as the model would be saved. It
    decides: labels that are smoothed raise the plain valid_loss of a model that is seldom wrong.
    """

    calibrated_loss: float
    photos_per_second: float

    def __str__(self) -> str:
        told = f"calibrated_loss={self.calibrated_loss:.4f} photos_per_second={self.photos_per_second:.1f}"
        return f"{super().__str__()} {told}"


class Finetuning:
    """One training: `epochs()` runs it, then `history` has all its epochs and `best` the model of the best one."""

    def __init__(
        self,
        settings: Settings,
        backbone: nn.Module,
        head: tuple[Tensor, Tensor],
        train: Photos,
        valid: Photos,
        device: torch.device,
    ):
        spec = BACKBONES[settings.backbone]
        network = Network(spec, backbone, *head, settings.dropout).to(device)
        self.settings = settings
        self.device = device
        self.model = convert_conv2d_weight_memory_format(network, torch.channels_last)
        self.stages = network.stages(spec)
        self.average = deepcopy(self.model).eval()
        self.history: list[Tuned] = []
        self.best: Model | None = None
        self.steps = math.ceil(len(train.names) / settings.batch_size)
        self._data = Crops(train, valid, spec.side, settings.seed)
        self._labels = torch.tensor(valid.labels)
        # Only processors that have bfloat16's arithmetic gain by it. Its range is float32's: no loss needs scaling.
        self._half = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        # torch's average without its copy of every buffer at every step: no buffer changes here
        self._blend = get_ema_multi_avg_fn(1 - 1 / (1 + min(AVERAGED, self.steps)))  # type: ignore[no-untyped-call]  # not annotated
        last = len(self.stages) - 1
        rates = [settings.learning_rate * STAGE_RATE ** (last - stage) for stage in range(len(self.stages))]
        groups = [{"params": stage, "rate": rate} for stage, rate in zip(self.stages, rates, strict=True)]
        self.optimizer = AdamW(groups, weight_decay=settings.weight_decay, fused=True)
        torch.backends.cudnn.benchmark = True

    def epochs(self) -> Iterator[Figures]:
        """Goes on from the checkpoint if there is one, to the last epoch or the patience's end."""
        self._resume()
        batches = read_ahead(
            self._data, self.settings.batch_size, len(self.history) + 1, self.settings.epochs, self.device
        )
        while len(self.history) < self.settings.epochs and not self._stalled():
            figures = self._epoch(len(self.history) + 1, batches)
            self.history.append(figures)
            yield figures
            self._save()

    def step(self, crops: Tensor, labels: Tensor, number: int) -> Tensor:
        """The optimizer's step of this number, from 0, on a batch (n, side, side, 3), (n,); its loss, on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * schedule(number, self.steps * self.settings.epochs)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._half):
            loss = cross_entropy(self.model(crops), labels, label_smoothing=SMOOTHING)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self._blend(list(self.average.parameters()), list(self.model.parameters()), 0)
        return loss.detach()

    def thaw(self, epoch: int) -> None:
        """Lets those layers train whose turn it is in an epoch, from 1."""
        alone = epoch <= self.settings.epochs // ALONE
        for stage in self.stages[:-1]:
            for parameter in stage:
                parameter.requires_grad_(not alone)

    def _epoch(self, epoch: int, batches: Iterator[tuple[Tensor, Tensor]]) -> Tuned:
        started, photos = time.monotonic(), len(self._data.train.names)
        torch.manual_seed(Random(f"{self.settings.seed} {epoch}").getrandbits(63))  # noqa: S311  # draws dropout
        self.thaw(epoch)
        self.model.train()
        total = torch.zeros((), device=self.device)
        for step, (crops, labels) in enumerate(islice(batches, self.steps), (epoch - 1) * self.steps):
            total += len(labels) * self.step(crops, labels, step)
        train_loss = total.item() / photos
        scores = self._scores(batches)
        valid_loss = cross_entropy(scores, self._labels).item()
        accuracy = (scores.argmax(1) == self._labels).float().mean().item()
        rate = (photos + len(scores)) / (time.monotonic() - started)
        calibrated = calibrated_loss(scores, self._labels)
        figures = Tuned(self.settings.number + epoch, train_loss, valid_loss, accuracy, calibrated, rate)
        if all(calibrated < earlier.calibrated_loss for earlier in self.history):
            state = {name: value.cpu().clone() for name, value in self.average.state_dict().items()}
            backbone = {
                name.removeprefix("backbone."): value for name, value in state.items() if name.startswith("backbone.")
            }
            self.best = Model(figures, state["head.weight"], state["head.bias"], scores, backbone)
        return figures

    @torch.no_grad()  # inference_mode would reach those of the next epoch's batches that arrive meanwhile
    def _scores(self, batches: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
        """The averaged model's scores (n, classes) of the valid photos, which come next; on the CPU."""
        count = math.ceil(len(self._labels) / self.settings.batch_size)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._half):
            scores = [self.average(crops).float() for crops, _ in islice(batches, count)]
        return torch.cat(scores).cpu()

    def _stalled(self) -> bool:
        return self.best is not None and self.history[-1].number - self.best.epoch.number >= PATIENCE

    def _made_of(self) -> str:
        """A digest of what the model follows from."""
        photos = [[split.names, split.labels] for split in (self._data.train, self._data.valid)]
        return hashlib.sha256(json.dumps([asdict(self.settings), photos]).encode()).hexdigest()

    def _save(self) -> None:
        """Writes the checkpoint, whole or not at all."""
        state = {
            "made_of": self._made_of(),
            "history": [asdict(figures) for figures in self.history],
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best and {**vars(self.best), "epoch": asdict(self.best.epoch)},
        }
        CHECKPOINTS.mkdir(parents=True, exist_ok=True)
        torch.save(state, CHECKPOINTS / "finetune.tmp")
        (CHECKPOINTS / "finetune.tmp").replace(CHECKPOINTS / "finetune.pth")

    def _resume(self) -> None:
        """Takes up what the checkpoint has, if there is one of this training; one that is not is written over."""
        path = CHECKPOINTS / "finetune.pth"
        if not path.is_file():
            return
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["made_of"] != self._made_of():
                raise ValueError("it is of other photos or hyperparameters")
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
            why = " ".join(str(error).split())[:200] or "it is empty"
            print(f"starts afresh: {path.name} is no checkpoint of this training: {why}", flush=True)
            return
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.history = [Tuned(**figures) for figures in state["history"]]
        self.best = Model(**{**state["best"], "epoch": Tuned(**state["best"]["epoch"])})
        print(f"goes on after epoch {self.history[-1].number}, from {path}", flush=True)
