from typing import Any

import pytest

from kennel.config import Classifier
from kennel.judging import chance_of_loss, interval, judge, lost_classes


def evaluation(
    top1: float, only_model: int = 0, only_champion: int = 0, *, now: float = 0.8, before: float = 0.8
) -> dict[str, Any]:
    """A report about 100 photos, of which ten are of one class."""
    return {
        "photos": 100,
        "top1": top1,
        "per_class": {"Pug": {"photos": 10, "top1": now}},
        "champion": {
            "top1": top1 + (only_champion - only_model) / 100,
            "only_model": only_model,
            "only_champion": only_champion,
            "unknown": 0,
            "per_class": {"Pug": {"photos": 10, "top1": before}},
        },
    }


def test_a_good_first_model_is_promoted(dogs: Classifier) -> None:
    verdict = judge({**evaluation(0.8), "champion": None}, None, dogs.evaluate)
    assert (verdict.outcome, verdict.why) == (
        "promote",
        "80.0% of 100 test photos are right; there is no champion to compare with.",
    )


def test_a_model_below_the_least_top1_is_held(dogs: Classifier) -> None:
    verdict = judge(evaluation(0.2), "dogs-1", dogs.evaluate)
    assert verdict.outcome == "hold"
    assert verdict.why == "20.0% of 100 test photos are right, below evaluate.minimum_top1 = 60.0%."


def test_a_champion_of_other_classes_is_told_to_be_one(dogs: Classifier) -> None:
    report = evaluation(0.8, 9, 1)
    report["champion"]["unknown"] = 20
    assert (
        "by the champion dogs-1, which does not know the classes of 20: 9 only"
        in judge(report, "dogs-1", dogs.evaluate).why
    )


@pytest.mark.parametrize(
    ("only_model", "only_champion", "outcome"),
    [(9, 1, "promote"), (0, 0, "promote"), (0, 4, "promote"), (0, 5, "hold"), (5, 12, "promote"), (5, 15, "hold")],
)
def test_a_model_is_held_when_its_loss_to_the_champion_is_beyond_chance(
    dogs: Classifier, only_model: int, only_champion: int, outcome: str
) -> None:
    verdict = judge(evaluation(0.8, only_model, only_champion), "dogs-1", dogs.evaluate)
    assert verdict.outcome == outcome
    assert f"{only_model} only the new model gets right, {only_champion} only the champion" in verdict.why
    assert ("McNemar" in verdict.why) == (only_model <= only_champion)


def test_a_model_that_loses_a_class_is_held_and_the_class_is_named(dogs: Classifier) -> None:
    verdict = judge(evaluation(0.9, 9, 5, now=0.4), "dogs-1", dogs.evaluate)
    assert verdict.outcome == "hold"
    assert verdict.why.endswith(
        "loses more than evaluate.max_class_loss = 30.0% of Pug (40% of 10 photos, 80% before)."
    )


@pytest.mark.parametrize(
    ("photos", "now", "lost"), [(1, 0.0, False), (2, 0.0, True), (10, 0.7, False), (10, 0.6, True)]
)
def test_one_photo_less_of_a_class_is_taken_for_chance(photos: int, now: float, lost: bool) -> None:
    before = {"Pug": {"photos": photos, "top1": 1.0}}
    assert bool(lost_classes({"Pug": {"photos": photos, "top1": now}}, before, 0.3)) is lost


def test_the_chance_of_a_loss_is_the_binomial_tail() -> None:
    assert chance_of_loss(0, 0) == 1
    assert chance_of_loss(0, 5) == 1 / 32
    assert chance_of_loss(1, 4) == 6 / 32
    assert chance_of_loss(5, 5) == pytest.approx(0.623046875)
    assert 0 < chance_of_loss(4000, 6000) < 1e-80


@pytest.mark.parametrize(
    ("right", "photos", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_the_interval_is_wilsons(right: int, photos: int, low: float, high: float) -> None:
    """The last one is the example of Newcombe (1998), table I: 81 of 263."""
    assert interval(right / photos, photos) == pytest.approx((low, high), abs=5e-5)
