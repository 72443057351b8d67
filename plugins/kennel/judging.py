"""Whether a new model may follow the champion: pure rules over one evaluation of both on the same test photos."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from kennel.config import Evaluate

Z95 = 1.959964  # the normal distribution's 97.5 % quantile


@dataclass(frozen=True)
class Verdict:
    """What the rules say of a model, and why, in plain words."""

    promote: bool
    why: str

    @property
    def outcome(self) -> Literal["promote", "hold"]:
        """The verdict as the run's report and the registry name it."""
        return "promote" if self.promote else "hold"


def judge(report: dict[str, Any], champion: str | None, rules: Evaluate) -> Verdict:
    """Hold a model that is not good enough, is worse than the champion beyond chance, or has lost a class.

    `report` is what `ml/evaluate.py` wrote; its `champion` section has both models' answers to the same photos.
    """
    top1 = f"{report['top1']:.1%} of {report['photos']} test photos are right"
    if report["top1"] < rules.minimum_top1:
        return Verdict(False, f"{top1}, below evaluate.minimum_top1 = {rules.minimum_top1:.1%}.")
    if champion is None:
        return Verdict(True, f"{top1}; there is no champion to compare with.")
    compared = report["champion"]
    strange = f", which does not know the classes of {compared['unknown']}" if compared["unknown"] else ""
    pairs = (
        f"{top1}, and {compared['top1']:.1%} by the champion {champion}{strange}: {compared['only_model']} only the "
        f"new model gets right, {compared['only_champion']} only the champion"
    )
    chance = chance_of_loss(compared["only_model"], compared["only_champion"])
    if chance < rules.significance:
        return Verdict(
            False,
            f"{pairs}. Were both equally good, so large a loss would come about in {chance:.1%} of such tests "
            f"(McNemar's exact test), below evaluate.significance = {rules.significance:.1%}.",
        )
    if lost := lost_classes(report["per_class"], compared["per_class"], rules.max_class_loss):
        return Verdict(
            False,
            f"{pairs}. It loses more than evaluate.max_class_loss = {rules.max_class_loss:.1%} of {'; '.join(lost)}.",
        )
    if compared["only_model"] > compared["only_champion"]:
        return Verdict(True, f"{pairs}: more than the champion.")
    return Verdict(True, f"{pairs}: no worse than chance explains (McNemar's exact test, p = {chance:.2f}).")


def chance_of_loss(only_model: int, only_champion: int) -> float:
    """The p-value of McNemar's exact test, one-sided: is the champion the better one?

    Were both equally good, each photo that only one of them gets right would be the champion's with probability 1/2;
    the value is the binomial probability of `only_champion` or more of them (McNemar 1947; exact form as in Fagerland,
    Lydersen and Laake 2013). Photos that both get right, or both wrong, say nothing about which is better.
    """
    differing = only_model + only_champion
    ways: int = sum(math.comb(differing, count) for count in range(only_champion, differing + 1))
    return ways / (1 << differing)


def interval(share: float, photos: int) -> tuple[float, float]:
    """Where the true share lies, with 95 % confidence, when this share of so many photos was right.

    Wilson's score interval (Wilson 1927, JASA 22, 209-212), which stays within 0 to 1 and holds for few photos
    (Brown, Cai and DasGupta 2001).
    """
    spread = Z95**2 / photos
    middle = (share + spread / 2) / (1 + spread)
    half = Z95 / (1 + spread) * math.sqrt(share * (1 - share) / photos + spread / (4 * photos))
    return max(0.0, middle - half), min(1.0, middle + half)


def lost_classes(model: dict[str, dict[str, float]], champion: dict[str, dict[str, float]], bound: float) -> list[str]:
    """The classes of which the model gets fewer photos right than the champion, by more than the bound.

    Inputs are `{label: {"photos": n, "top1": share}}`. A single photo more or less is taken for chance.
    """
    lost = []
    for label, now in model.items():
        before = champion[label]["top1"]
        photos = round((before - now["top1"]) * now["photos"])
        if photos > 1 and photos / now["photos"] > bound:
            lost.append(f"{label} ({now['top1']:.0%} of {now['photos']} photos, {before:.0%} before)")
    return lost
