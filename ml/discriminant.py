"""The linear discriminant: the head that follows from the vectors' means and covariance, with nothing learnt by steps.

Classes that are clouds of one shape around their means (Fisher 1936): `weight = means @ inverse covariance`. With fewer
vectors than features the covariance is shrunk towards a round one (Friedman 1989, "Regularized discriminant analysis").
With five photos a class it tells unseen ones apart better than gradient descent does, so that is where training starts.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from outcome import DOUBT

SHRINKAGES = (0.001, 0.05, 0.2, 0.5, 0.8, 0.95)
ROWS = 8192  # taken at once, in double precision
TEMPERATURES = 2 ** torch.linspace(-2, 9, 111)


def discriminant(train: tuple[Tensor, Tensor], valid: tuple[Tensor, Tensor], classes: int) -> tuple[Tensor, Tensor]:
    """Weight (classes, d) and bias (classes,) on the CPU, of features (n, d) and labels (n,), each class with some.

    Of several shrinkages, each at its likeliest temperature, it is the one that makes the valid photos likeliest.
    """
    features, labels = train[0].cpu(), train[1].cpu()
    counts, width = torch.bincount(labels, minlength=classes)[:, None], features.shape[1]
    means = torch.zeros(classes, width, dtype=torch.float64)
    covariance = torch.zeros(width, width, dtype=torch.float64)
    for rows in torch.split(torch.arange(len(features)), ROWS):
        means.index_add_(0, labels[rows], features[rows].double() / counts[labels[rows]])
    for rows in torch.split(torch.arange(len(features)), ROWS):
        spread = features[rows].double() - means[labels[rows]]
        covariance += spread.T @ spread / len(features)
    round_one = covariance.diagonal().mean().clamp_min(1e-9) * torch.eye(width, dtype=torch.float64)
    unseen, truth = valid[0].cpu().double(), valid[1].cpu()
    found: list[tuple[float, Tensor, Tensor]] = []
    for shrinkage in SHRINKAGES:
        weight = torch.linalg.solve((1 - shrinkage) * covariance + shrinkage * round_one, means.T).T
        bias = -(weight * means).sum(1) / 2
        scores = linear(unseen, weight, bias)
        losses = torch.stack([cross_entropy(scores / each, truth, label_smoothing=DOUBT) for each in TEMPERATURES])
        divisor = TEMPERATURES[losses.argmin()]
        found.append((losses.min().item(), (weight / divisor).float(), (bias / divisor).float()))
    _, weight, bias = min(found, key=lambda head: head[0])
    return weight, bias
