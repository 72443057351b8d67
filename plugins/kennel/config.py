"""The one door to settings: a classifier's TOML file plus the environment, as frozen models.

Everything else takes what it needs as an argument. A wrong value fails when the DAG file is parsed, with one line
that names the file and the key.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

ROOT = Path(__file__).resolve().parents[2]
CLASSIFIERS = ROOT / "dags" / "classifiers"

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
InstanceType = Annotated[str, Field(pattern=r"^ml\.[a-z0-9]+\.[a-z0-9]+$")]


class ConfigError(ValueError):
    """A setting that is missing or wrong; the message names it and says what to do."""


class Section(BaseModel):
    """A table of the TOML file: no unknown keys, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Images(Section):
    """The deep learning containers, with registry and tag."""

    training: str
    inference: str


class Backbone(Section):
    """Where a backbone's ImageNet state_dict comes from: an https URL, or `package:<python package>`."""

    weights: str
    sha256: str = ""


class Instance(Section):
    """What one job runs on, and for how long at most."""

    instance_type: InstanceType
    volume_gb: Count
    max_runtime_minutes: Count


class Embed(Instance):
    """The processing job that turns photos into vectors. Of more than one instance, each does its share of them."""

    instance_count: Count
    backbone: str
    views: Count
    max_unreadable_share: Share
    seed: int


class Range(Section):
    """What the tuner may choose from: `min` to `max` with a scaling, or a list of `values`."""

    min: int | float | None = None
    max: int | float | None = None
    scaling: Literal["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"] = "Auto"
    values: tuple[int | float | str, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> "Range":
        bounds = self.min is not None and self.max is not None and self.min < self.max
        if bounds == bool(self.values):
            raise ValueError("give either min < max, or values")
        return self


class Tune(Section):
    """The tuning job. Its trials run on the training job's instance type."""

    max_jobs: Annotated[int, Field(ge=1, le=750)]
    max_parallel_jobs: Annotated[int, Field(ge=1, le=100)]
    strategy: Literal["Bayesian", "Random", "Grid", "Hyperband"]
    objective: Literal["train_loss", "valid_loss"]
    max_runtime_minutes: Count
    ranges: Annotated[dict[str, Range], Field(min_length=1)]

    @model_validator(mode="after")
    def _grid_of_values(self) -> "Tune":
        if self.strategy == "Grid" and not all(choice.values for choice in self.ranges.values()):
            raise ValueError("strategy Grid takes ranges of values only")
        return self


class Train(Instance):
    """The final training. Of more than one instance, each does its share of every batch."""

    instance_count: Count
    epochs: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]
    finetune_epochs: Annotated[int, Field(ge=0)]
    finetune_learning_rate: Annotated[float, Field(gt=0, le=1)]
    seed: int

    @model_validator(mode="after")
    def _one_instance_fine_tunes(self) -> "Train":
        if self.finetune_epochs and self.instance_count > 1:
            raise ValueError("finetune_epochs takes one instance: set instance_count = 1, or finetune_epochs = 0")
        return self


class Ec2(Section):
    """The final training on a plain EC2 instance."""

    instance_type: Annotated[str, Field(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")]
    market: Literal["spot", "on-demand"]
    image_parameter: Annotated[str, Field(pattern="^/aws/service/")]
    subnet_id: Annotated[str, Field(pattern="^(subnet-[0-9a-f]+)?$")]
    volume_gb: Count
    max_runtime_minutes: Count


class Evaluate(Instance):
    """The test, and how good a model must be to be promoted."""

    minimum_top1: Annotated[float, Field(gt=0, le=1)]
    significance: Annotated[float, Field(gt=0, lt=1)]
    max_class_loss: Share
    approval: Literal["auto", "ask"]


class Costs(Section):
    """Money, in USD: the most that a run may cost, and what an hour of each instance type does."""

    max_cost: Annotated[float, Field(gt=0)]
    prices: dict[str, Annotated[float, Field(ge=0)]]


class Endpoint(Section):
    """What serves the model, and what calls an update back."""

    instance_type: InstanceType
    initial_instances: Count
    max_latency_ms: Count
    max_errors_per_minute: Annotated[int, Field(ge=0)]
    bake_minutes: Annotated[int, Field(ge=1, le=60)]


class Autoscaling(Section):
    """Target tracking on invocations per instance and minute."""

    min_instances: Count
    max_instances: Count
    target_invocations_per_instance: Annotated[float, Field(gt=0)]
    scale_in_cooldown_seconds: Annotated[int, Field(ge=0)]
    scale_out_cooldown_seconds: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _ordered(self) -> "Autoscaling":
        if self.min_instances > self.max_instances:
            raise ValueError("min_instances is above max_instances")
        return self


class Function(Section):
    """The invocation function. Zero turns a kind of concurrency off."""

    runtime: str
    memory_mb: Annotated[int, Field(ge=128, le=10240)]
    timeout_seconds: Annotated[int, Field(ge=1, le=900)]
    provisioned_concurrency: Annotated[int, Field(ge=0)]
    reserved_concurrency: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _within_reserved(self) -> "Function":
        if 0 < self.reserved_concurrency < self.provisioned_concurrency:
            raise ValueError("provisioned_concurrency is above reserved_concurrency")
        return self


class Environment(Section):
    """What differs between one installation and the next; `docs/architecture.md` lists the variables."""

    account_id: Annotated[str, Field(pattern=r"^\d{12}$")]
    poll_seconds: Count = 30
    allowed_hosts: str = ""


class Classifier(Section):
    """One image classifier and all that is set about it."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{1,19}$")]
    region: str
    schedule: str
    jobs_at_once: Count
    images: Images
    backbones: dict[str, Backbone]
    embed: Embed
    tune: Tune
    train: Train
    ec2: Ec2
    evaluate: Evaluate
    costs: Costs
    endpoint: Endpoint
    autoscaling: Autoscaling
    function: Function
    environment: Environment

    @model_validator(mode="after")
    def _backbone_is_known(self) -> "Classifier":
        if self.embed.backbone not in self.backbones:
            raise ValueError(f"embed.backbone {self.embed.backbone!r} is none of {', '.join(self.backbones)}")
        return self

    @model_validator(mode="after")
    def _jobs_fit_the_pool(self) -> "Classifier":
        for setting, instances in (
            ("embed.instance_count", self.embed.instance_count),
            ("tune.max_parallel_jobs", self.tune.max_parallel_jobs),
            ("train.instance_count", self.train.instance_count),
        ):
            if instances > self.jobs_at_once:
                raise ValueError(f"{setting} is above jobs_at_once: the job would never start")
        return self

    @model_validator(mode="after")
    def _images_are_of_the_region(self) -> "Classifier":
        for image in (self.images.training, self.images.inference):
            if f".{self.region}." not in image:
                raise ValueError(f"{image} is not of region {self.region}, from which the jobs pull: change [images]")
        return self

    @model_validator(mode="after")
    def _gpus_have_their_image(self) -> "Classifier":
        for section in ("embed", "train", "evaluate"):
            instance_type = getattr(self, section).instance_type
            if re.match(r"ml\.[gp]\d", instance_type) and "-cpu-" in self.images.training:
                raise ValueError(
                    f"{section}.instance_type {instance_type} has a GPU that {self.images.training} cannot use: "
                    "write -gpu- for -cpu- in images.training"
                )
        return self


def load(name: str, environ: Mapping[str, str] = os.environ) -> Classifier:
    """Read `dags/classifiers/<name>.toml` and the environment.

    Raises ConfigError, one line that names the file and each key that is missing or wrong.
    """
    path = CLASSIFIERS / f"{name}.toml"
    try:
        settings = tomllib.loads(path.read_text())
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in CLASSIFIERS.glob("*.toml")))
        raise ConfigError(f"there is no classifier {name!r}; dags/classifiers/ has: {known}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name}: {error}") from error
    _overlay(settings, environ)
    try:
        return Classifier.model_validate(settings)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'the file'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise ConfigError(f"{path.name}: {problems}") from error


def _overlay(settings: dict[str, object], environ: Mapping[str, str]) -> None:
    """Put the environment's values into what was read from the file."""
    if not environ.get("KENNEL_ACCOUNT_ID"):
        raise ConfigError("KENNEL_ACCOUNT_ID is not set: give the 12 digits of the AWS account, or run `kennel up`")
    settings["environment"] = {
        key: environ[variable]
        for key, variable in (
            ("account_id", "KENNEL_ACCOUNT_ID"),
            ("poll_seconds", "KENNEL_POLL_SECONDS"),
            ("allowed_hosts", "KENNEL_ALLOWED_HOSTS"),
        )
        if environ.get(variable)
    }
    if environ.get("AWS_DEFAULT_REGION"):
        settings["region"] = environ["AWS_DEFAULT_REGION"]
    embed = settings.get("embed")
    if environ.get("KENNEL_BACKBONE") and isinstance(embed, dict):
        embed["backbone"] = environ["KENNEL_BACKBONE"]
