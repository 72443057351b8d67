import pytest

from kennel.config import Classifier
from kennel.registry import Package, made_of, newest, objection, obstacle


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


def test_an_approved_model_may_go_into_service_over_none_and_over_an_older_one() -> None:
    older = champion(cutoff="2026-10-01T00:00:00+00:00")
    assert obstacle(champion(), None, force=False) is None
    assert obstacle(champion(), older, force=False) is None


def test_a_backfilled_model_does_not_take_the_place_of_a_later_one_unless_forced() -> None:
    backfilled = champion(cutoff="2026-10-01T00:00:00+00:00", run="dogs-2")
    assert "trigger with its package_arn and force" in (obstacle(backfilled, champion(), force=False) or "")
    assert obstacle(backfilled, champion(), force=True) is None


def test_nothing_puts_a_model_into_service_that_awaits_approval() -> None:
    pending = Package("arn:1", "PendingManualApproval", "image", "s3://b/m.tar.gz", champion().metadata)
    assert "approve it" in (obstacle(pending, None, force=True) or "")


def test_a_model_made_of_the_same_is_found_however_many_came_after_it() -> None:
    packages = [champion(snapshot="ccc"), champion(snapshot="bbb", code="1"), champion(snapshot="bbb", code="2")]
    assert made_of(packages, {"snapshot": "bbb", "code": "2"}) == packages[2]
    assert made_of(packages, {"snapshot": "bbb", "code": "3"}) is None
