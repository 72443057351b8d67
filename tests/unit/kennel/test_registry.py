import pytest

from kennel.config import Classifier
from kennel.registry import Package, newest, objection


def champion(**metadata: str) -> Package:
    known = {"run": "dogs-1", "snapshot": "aaa", "top1": "0.90", "cutoff": "2026-11-01T00:00:00+00:00"}
    return Package("arn:1", "Approved", "image", "s3://b/model.tar.gz", {**known, **metadata})


def test_a_good_first_model_meets_no_objection(dogs: Classifier) -> None:
    assert objection({"top1": 0.8}, "aaa", None, dogs.evaluate) is None


def test_a_model_below_the_least_top1_is_held_back(dogs: Classifier) -> None:
    assert "minimum_top1" in (objection({"top1": 0.2}, "aaa", None, dogs.evaluate) or "")


@pytest.mark.parametrize(("top1", "held"), [(0.89, False), (0.85, True), (0.95, False)])
def test_on_the_same_photos_a_model_may_be_no_worse_than_the_champion(
    dogs: Classifier, top1: float, held: bool
) -> None:
    assert bool(objection({"top1": top1}, "aaa", champion(), dogs.evaluate)) is held


def test_figures_of_different_photos_are_not_compared(dogs: Classifier) -> None:
    assert objection({"top1": 0.7}, "bbb", champion(), dogs.evaluate) is None


def test_the_newest_model_is_the_one_that_knows_the_latest_photos() -> None:
    backfilled = champion(cutoff="2026-10-01T00:00:00+00:00", run="dogs-2")
    assert newest([backfilled, champion()]) == champion()
    assert newest([]) is None
