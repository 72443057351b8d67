"""The linear discriminant: the head that follows from the vectors' means and covariance, with nothing learnt by steps.

Classes that are clouds of one shape around their means (Fisher 1936): `weight = means @ inverse covariance`. With fewer
vectors than features the covariance is shrunk towards a round one (Friedman 1989, "Regularized discriminant analysis").
With five photos a class it tells unseen ones apart better than gradient descent does, so that is where training starts.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from outcome import DOUBT

SHRINKAGES = (0.001, 0.05, 0.2, 0.5, 0.8, 0.95)
LEAST = 1e-9  # of the round one's variance: vectors that are all alike have none
ROWS = 8192  # taken at once, in double precision
TEMPERATURES = 2 ** torch.linspace(-2, 9, 111)


def discriminant(train: tuple[Tensor, Tensor], valid: tuple[Tensor, Tensor], classes: int) -> tuple[Tensor, Tensor]:
    """Weight (classes, d) and bias (classes,) on the CPU, of features (n, d) and labels (n,), each class with some.

    Features that are no numbers lead to a head that is none: cholesky_ex raises nothing, and the epoch's loss tells.
    Of several shrinkages, each at its likeliest temperature, it is the one that makes the valid photos likeliest.
    """
    features, labels = train[0].cpu(), train[1].cpu()
    counts = torch.bincount(labels, minlength=classes)[:, None]
    means = torch.zeros(classes, features.shape[1], dtype=torch.float64)
    for rows in torch.split(torch.arange(len(features)), ROWS):
        means.index_add_(0, labels[rows], features[rows].double() / counts[labels[rows]])
    heads = _of_few if len(features) < features.shape[1] else _of_many
    unseen, truth = valid[0].cpu().double(), valid[1].cpu()
    found: list[tuple[float, Tensor, Tensor]] = []
    for weight in heads(features, labels, means):
        bias = -(weight * means).sum(1) / 2
        scores = linear(unseen, weight, bias)
        losses = torch.stack([cross_entropy(scores / each, truth, label_smoothing=DOUBT) for each in TEMPERATURES])
        divisor = TEMPERATURES[losses.argmin()]
        found.append((losses.min().item(), (weight / divisor).float(), (bias / divisor).float()))
    _, weight, bias = min(found, key=lambda head: head[0])
    return weight, bias


def _of_many(features: Tensor, labels: Tensor, means: Tensor) -> Iterator[Tensor]:
    """`means @ inverse covariance` at each shrinkage, by the covariance (d, d)."""
    covariance = torch.zeros(means.shape[1], means.shape[1], dtype=torch.float64)
    for rows in torch.split(torch.arange(len(features)), ROWS):
        spread = features[rows].double() - means[labels[rows]]
        covariance += spread.T @ spread / len(features)
    level = covariance.diagonal().mean().clamp_min(LEAST)
    for shrinkage in SHRINKAGES:
        shrunk = (1 - shrinkage) * covariance
        shrunk.diagonal().add_(shrinkage * level)
        yield torch.cholesky_solve(means.T, torch.linalg.cholesky_ex(shrunk).L).T


def _of_few(features: Tensor, labels: Tensor, means: Tensor) -> Iterator[Tensor]:
    """The same of fewer vectors than features, by their products (n, n): Woodbury's identity."""
    spread = (features.double() - means[labels]) / len(features) ** 0.5
    products, across = spread @ spread.T, spread @ means.T
    level = (products.trace() / means.shape[1]).clamp_min(LEAST)
    for shrinkage in SHRINKAGES:
        shrunk = (1 - shrinkage) * products
        shrunk.diagonal().add_(shrinkage * level)
        explained = spread.T @ torch.cholesky_solve(across, torch.linalg.cholesky_ex(shrunk).L)
        yield (means - (1 - shrinkage) * explained.T) / (shrinkage * level)
