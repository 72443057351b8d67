import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from discriminant import _of_few, _of_many, discriminant

CLASSES = 5
SHAPE = torch.tensor([3.0, 1.0, 0.3]).repeat(20)  # how far a cloud reaches in each of 60 directions


def drawn(centres: Tensor, photos: int, seed: int) -> tuple[Tensor, Tensor]:
    """Vectors of each class, in clouds of one shape around the centres, and their labels."""
    labels = torch.arange(CLASSES).repeat(photos)
    noise = torch.randn(len(labels), len(SHAPE), generator=torch.Generator().manual_seed(seed))
    return centres[labels] + SHAPE * noise, labels


@pytest.fixture
def centres() -> Tensor:
    return torch.randn(CLASSES, len(SHAPE), generator=torch.Generator().manual_seed(9)) * 0.25


def right(weight: Tensor, bias: Tensor, split: tuple[Tensor, Tensor]) -> float:
    return float(((split[0] @ weight.T + bias).argmax(1) == split[1]).float().mean())


def test_many_photos_lead_to_the_best_head_there_is(centres: Tensor) -> None:
    weight, bias = discriminant(drawn(centres, 4000, 0), drawn(centres, 200, 1), CLASSES)
    best = centres / SHAPE.square()  # means @ inverse covariance, both known here
    unseen = drawn(centres, 2000, 2)
    assert right(weight, bias, unseen) == pytest.approx(right(best, -(best * centres).sum(1) / 2, unseen), abs=0.01)


def test_with_fewer_photos_than_features_it_beats_the_nearest_mean(centres: Tensor) -> None:
    train, unseen = drawn(centres, 8, 0), drawn(centres, 2000, 2)
    weight, bias = discriminant(train, drawn(centres, 4, 1), CLASSES)
    means = torch.stack([train[0][train[1] == label].mean(0) for label in range(CLASSES)])
    assert right(weight, bias, unseen) > right(means, -means.square().sum(1) / 2, unseen) + 0.05


def test_its_scores_tell_their_chances(centres: Tensor) -> None:
    nearer = centres * 0.5
    weight, bias = discriminant(drawn(nearer, 4000, 0), drawn(nearer, 400, 1), CLASSES)
    features, labels = drawn(nearer, 2000, 2)
    scores = features @ weight.T + bias
    losses = [cross_entropy(scores / divisor, labels) for divisor in (0.7, 1.0, 1.4)]
    assert losses[1] == min(losses)


def test_the_same_vectors_lead_to_the_same_head(centres: Tensor) -> None:
    heads = [discriminant(drawn(centres, 8, 0), drawn(centres, 4, 1), CLASSES) for _ in range(2)]
    assert all(torch.equal(*parts) for parts in zip(*heads, strict=True))


def test_it_is_the_same_head_by_either_way_to_the_inverse(centres: Tensor) -> None:
    features, labels = drawn(centres, 8, 0)
    means = torch.stack([features[labels == label].double().mean(0) for label in range(CLASSES)])
    for by_few, by_many in zip(_of_few(features, labels, means), _of_many(features, labels, means), strict=True):
        torch.testing.assert_close(by_few, by_many)


def test_vectors_that_are_all_alike_lead_to_a_head(centres: Tensor) -> None:
    for photos in (4, 40):
        alike = centres[torch.arange(CLASSES).repeat(photos)], torch.arange(CLASSES).repeat(photos)
        weight, bias = discriminant(alike, alike, CLASSES)
        assert right(weight, bias, alike) == 1
