"""Where a tuning job looks next: SageMaker's strategies and ranges, by Optuna.

Imported only where tuning runs: loading Optuna takes most of a second.
"""

import itertools
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

_LOG_RATIO = 100  # from this max/min on, ScalingType Auto looks at magnitudes rather than at differences

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class Range:
    """One hyperparameter's range, by its kind (`Continuous`, `Integer`, `Categorical`). Values are strings outside."""

    def __init__(self, kind: str, spec: Mapping[str, Any]) -> None:
        self.name: str = spec["Name"]
        self._kind = kind
        self._spec = spec
        self._reversed = spec.get("ScalingType") == "ReverseLogarithmic"
        self.distribution = self._distribution()

    def _distribution(self) -> BaseDistribution:
        if self._kind == "Categorical":
            return CategoricalDistribution(self._spec["Values"])
        low, high = float(self._spec["MinValue"]), float(self._spec["MaxValue"])
        if self._kind == "Integer":
            return IntDistribution(int(low), int(high), log=self._logarithmic(low, high))
        if self._reversed:
            return FloatDistribution(1 - high, 1 - low, log=True)
        return FloatDistribution(low, high, log=self._logarithmic(low, high))

    def _logarithmic(self, low: float, high: float) -> bool:
        scaling = self._spec.get("ScalingType", "Auto")
        return scaling == "Logarithmic" or (scaling == "Auto" and low > 0 and high / low >= _LOG_RATIO)

    def text(self, value: Any) -> str:
        """A value of the distribution as the training job gets it."""
        return str(1 - value if self._reversed else value)

    def value(self, text: str) -> Any:
        """The other way round. ValueError for what is no number."""
        if self._kind == "Categorical":
            return text
        if self._kind == "Integer":
            return int(text)
        return 1 - float(text) if self._reversed else float(text)


def ranges(parameter_ranges: Mapping[str, Any]) -> list[Range]:
    """The ranges of a request's ParameterRanges. ValueError where one makes no sense."""
    return [
        Range(kind, spec)
        for kind in ("Continuous", "Integer", "Categorical")
        for spec in parameter_ranges.get(f"{kind}ParameterRanges", ())
    ]


class Search:
    """What to try next, from what was tried. Safe to use from any thread."""

    def __init__(self, config: Mapping[str, Any], parallel: int) -> None:
        self._ranges = ranges(config["ParameterRanges"])
        self._distributions = {one.name: one.distribution for one in self._ranges}
        self._lock = threading.Lock()
        maximize = config["HyperParameterTuningJobObjective"]["Type"] == "Maximize"
        self._study = optuna.create_study(
            study_name="trials",  # Hyperband deals out its brackets by it
            direction="maximize" if maximize else "minimize",
            sampler=_sampler(config, parallel),
            pruner=_pruner(config),
        )
        if config["Strategy"] == "Grid":
            for point in grid(config["ParameterRanges"]):
                self._study.enqueue_trial(point)

    def ask(self) -> tuple[optuna.Trial, dict[str, str]]:
        """A new trial and its hyperparameters."""
        with self._lock:
            trial = self._study.ask(self._distributions)
            return trial, {one.name: one.text(trial.params[one.name]) for one in self._ranges}

    def report(self, trial: optuna.Trial, step: int, value: float) -> bool:
        """Take note of a trial's value on its way; whether it should stop here."""
        with self._lock:
            trial.report(value, step)
            return trial.should_prune()

    def tell(self, trial: optuna.Trial, value: float | None) -> None:
        """A trial's outcome; None: it has none."""
        with self._lock:
            state = optuna.trial.TrialState.FAIL if value is None else None
            self._study.tell(trial, value, state=state)

    def learn(self, tried: Mapping[str, str], value: float) -> None:
        """The outcome of an earlier tuning job's trial; one that is not within the ranges says nothing."""
        try:
            params = {one.name: one.value(tried[one.name]) for one in self._ranges}
            trial = optuna.create_trial(params=params, distributions=self._distributions, value=value)
        except (KeyError, ValueError):
            return
        with self._lock:
            self._study.add_trial(trial)


def grid(parameter_ranges: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Every combination of the categorical values."""
    specs = parameter_ranges.get("CategoricalParameterRanges", ())
    for values in itertools.product(*(spec["Values"] for spec in specs)):
        yield dict(zip((spec["Name"] for spec in specs), values, strict=True))


def _sampler(config: Mapping[str, Any], parallel: int) -> optuna.samplers.BaseSampler:
    seed = config.get("RandomSeed")
    if config["Strategy"] in ("Random", "Grid"):
        return optuna.samplers.RandomSampler(seed=seed)
    most = config["ResourceLimits"].get("MaxNumberOfTrainingJobs", 40)
    return optuna.samplers.TPESampler(
        seed=seed,
        n_startup_trials=min(10, max(2, most // 3)),  # its own default, 10, is all of a small tuning job
        constant_liar=parallel > 1,  # not to try the same place twice while it is being tried
    )


def _pruner(config: Mapping[str, Any]) -> optuna.pruners.BasePruner:
    if config["Strategy"] == "Hyperband":
        limits = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
        return optuna.pruners.HyperbandPruner(
            min_resource=limits.get("MinResource", 1), max_resource=limits.get("MaxResource", "auto")
        )
    if config.get("TrainingJobEarlyStoppingType", "Off") == "Auto":
        return optuna.pruners.MedianPruner()
    return optuna.pruners.NopPruner()
