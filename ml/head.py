"""The classifier's head: a linear layer on the backbone's features, trained on vectors.

It starts as the linear discriminant, which with few photos is hard to better, and goes on by gradient descent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, dropout, linear
from torch.optim.adamw import adamw

from discriminant import discriminant
from outcome import Figures
from parallel import Group

if TYPE_CHECKING:
    from train import Hyperparameters


class AdamW:
    """torch's own AdamW step, without the Optimizer around it.

    The first Optimizer in a process imports torch's compiler, which takes longer than a whole trial.
    """

    def __init__(self, parameters: list[Tensor], learning_rate: float, weight_decay: float):
        self.parameters = parameters
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self._means = [torch.zeros_like(parameter) for parameter in parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in parameters]
        self._steps = [torch.zeros((), device=parameter.device) for parameter in parameters]

    @torch.no_grad()
    def step(self, gradients: list[Tensor]) -> None:
        """Moves the parameters by one step against their gradients."""
        adamw(
            self.parameters,
            gradients,
            self._means,
            self._squares,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )


@dataclass(frozen=True)
class Split:
    """The vectors of one split: features (n, d) and labels (n,)."""

    features: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Epoch(Figures):
    """What one epoch reached, and the head it left: weight (classes, d) and bias (classes,)."""

    weight: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """(n, d) on the CPU to (n, classes)."""
        return linear(features, self.weight, self.bias)


def fit(train: Split, valid: Split, classes: int, options: "Hyperparameters", group: Group) -> Iterator[Epoch]:
    """Trains a linear head, an epoch at a time, as one of a group that all have the same splits.

    Epoch 0 is the linear discriminant, from which gradient descent goes on.
    """
    # One centre and one scale make a learning rate mean the same for every backbone; both are folded into the head.
    centre = train.features.mean(0)
    scale = (train.features - centre).square().mean().sqrt().clamp_min(1e-6)
    inputs = (train.features - centre) / scale
    torch.set_num_threads(1)
    start = discriminant((inputs, train.labels), ((valid.features - centre) / scale, valid.labels), classes)
    weight, bias = (part.to(group.device) * group.first for part in start)
    group.add_up([weight, bias])  # the first one's for all: another processor may round another way
    weight.requires_grad_()
    bias.requires_grad_()

    def reached(number: int, train_loss: float) -> Epoch:
        folded = weight.detach() / scale
        shifted = bias.detach() - folded @ centre
        scores = linear(valid.features, folded, shifted)
        valid_loss = cross_entropy(scores, valid.labels).item()
        accuracy = (scores.argmax(1) == valid.labels).float().mean().item()
        return Epoch(number, train_loss, valid_loss, accuracy, folded.cpu(), shifted.cpu())

    yield reached(0, cross_entropy(linear(inputs, weight, bias).detach(), train.labels).item())
    optimizer = AdamW([weight, bias], options.learning_rate, options.weight_decay)
    torch.manual_seed(options.seed)
    for number in range(1, options.epochs + 1):
        total, handled = 0.0, 0
        for rows in torch.split(torch.randperm(len(inputs)), options.batch_size):
            # Drawn for the whole batch, on the CPU: the same whoever takes which rows, and on what.
            kept = dropout(torch.ones(len(rows), inputs.shape[1]), options.dropout)
            mine = group.share(rows)
            scores = linear(inputs[mine] * group.share(kept).to(group.device), weight, bias)
            loss = cross_entropy(scores, train.labels[mine], reduction="sum") / len(rows)
            gradients = list(torch.autograd.grad(loss, [weight, bias]))
            loss = loss.detach()
            group.add_up([*gradients, loss])
            optimizer.step(gradients)
            total += loss.item() * len(rows)
            handled += len(mine)
        if group.size > 1 and number == 1:
            print(f"process {group.rank} of {group.size} took {handled} of {len(inputs)} rows", flush=True)
        yield reached(number, total / len(inputs))
