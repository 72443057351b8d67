"""What a training came to: the figures of an epoch, and the model that is kept."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

# Of a label. A few valid photos that are all right say nothing against being ever surer; that one label in 300 may be
# wrong does.
DOUBT = 1 / 300


@dataclass(frozen=True)
class Figures:
    """What one epoch reached; the losses are a photo's mean, in nats."""

    number: int
    train_loss: float
    valid_loss: float
    valid_accuracy: float

    def __str__(self) -> str:
        return (
            f"epoch={self.number} train_loss={self.train_loss:.4f} "
            f"valid_loss={self.valid_loss:.4f} valid_accuracy={self.valid_accuracy:.4f}"
        )


@dataclass(frozen=True)
class Model:
    """The model of an epoch, on the CPU: its head and its scores (n, classes) of the valid photos.

    The head is weight (classes, features) and bias (classes,); `backbone` is a state_dict where that was trained too.
    """

    epoch: Figures
    weight: Tensor
    bias: Tensor
    scores: Tensor
    backbone: dict[str, Tensor] | None = None


def temperature(scores: Tensor, labels: Tensor) -> float:
    """What to divide scores (n, classes) by for the softmax to tell how often it is right: the likeliest of 0.25 to 4.

    Temperature scaling (Guo et al. 2017, arXiv:1706.04599), with DOUBT about the labels.
    """
    candidates = 2 ** torch.linspace(-2, 2, 161)
    losses = torch.stack([cross_entropy(scores / candidate, labels, label_smoothing=DOUBT) for candidate in candidates])
    return float(candidates[losses.argmin()])


def calibrated_loss(scores: Tensor, labels: Tensor) -> float:
    """The mean loss of scores (n, classes) at their temperature."""
    return cross_entropy(scores / temperature(scores, labels), labels).item()
