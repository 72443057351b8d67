from pathlib import Path

import pytest

from kennel import config
from kennel.config import ConfigError, load

ACCOUNT = {"KENNEL_ACCOUNT_ID": "123456789012"}
GPU = "pytorch-training:2.6.0-cpu-py312 cannot use: write -gpu- for -cpu- in images.training"


@pytest.fixture
def write_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A writable copy of dogs.toml that `load` reads."""
    copy = tmp_path / "dogs.toml"
    copy.write_text((config.CLASSIFIERS / "dogs.toml").read_text())
    monkeypatch.setattr(config, "CLASSIFIERS", tmp_path)
    return copy


def test_reads_the_shipped_classifier() -> None:
    dogs = load("dogs", ACCOUNT)
    assert dogs.embed.backbone == "resnet50"
    assert (dogs.autoscaling.min_instances, dogs.autoscaling.max_instances) == (1, 2)
    assert dogs.autoscaling.target_invocations_per_instance == 30
    assert {"learning_rate", "batch_size"} <= dogs.tune.ranges.keys()


def test_another_region_needs_its_own_images(write_toml: Path) -> None:
    elsewhere = {**ACCOUNT, "AWS_DEFAULT_REGION": "eu-west-1"}
    with pytest.raises(ConfigError, match=r"not of region eu-west-1.*change \[images\]"):
        load("dogs", elsewhere)
    write_toml.write_text(write_toml.read_text().replace(".us-east-1.", ".eu-west-1."))
    assert load("dogs", elsewhere).region == "eu-west-1"


def test_the_environment_overrides_backbone_and_polling() -> None:
    dogs = load(
        "dogs",
        {
            **ACCOUNT,
            "KENNEL_BACKBONE": "efficientnet_lite0",
            "KENNEL_POLL_SECONDS": "1",
            "KENNEL_ALLOWED_HOSTS": "127.0.0.1:4566",
        },
    )
    assert dogs.embed.backbone == "efficientnet_lite0"
    assert dogs.environment.poll_seconds == 1
    assert dogs.environment.allowed_hosts == "127.0.0.1:4566"


def test_a_missing_account_names_the_variable() -> None:
    with pytest.raises(ConfigError, match="KENNEL_ACCOUNT_ID is not set"):
        load("dogs", {})


def test_an_unknown_classifier_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no classifier 'cats'.*dogs"):
        load("cats", ACCOUNT)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_jobs = 8", "max_jobs = 0", "tune.max_jobs"),
        ("max_jobs = 8", "max_jobbs = 8", "tune.max_jobbs"),
        ('name = "dogs"', 'name = "Dogs!"', "name"),
        ('backbone = "resnet50"', 'backbone = "vgg"', "'vgg' is none of resnet50"),
        ("min_instances = 1", "min_instances = 3", "min_instances is above max_instances"),
        ("min = 0.0001, max = 0.01", "min = 0.01, max = 0.01", "min < max"),
        ("provisioned_concurrency = 1", "provisioned_concurrency = 99", "above reserved_concurrency"),
        ('strategy = "Bayesian"', 'strategy = "Grid"', "Grid takes ranges of values only"),
        ('instance_type = "ml.m5.xlarge"\ninstance_count', 'instance_type = "ml.g5.xlarge"\ninstance_count', GPU),
        ("finetune_epochs = 0", "finetune_epochs = -1", "train.finetune_epochs"),
        ("instance_count = 1", "instance_count = 0", "embed.instance_count"),
        ("instance_count = 1", "instance_count = 5", "embed.instance_count is above jobs_at_once"),
        ("max_parallel_jobs = 2", "max_parallel_jobs = 5", "tune.max_parallel_jobs is above jobs_at_once"),
        ("[images]", "[images", "dogs.toml"),
    ],
)
def test_a_wrong_value_fails_in_one_line_that_names_file_and_key(
    write_toml: Path, old: str, new: str, message: str
) -> None:
    text = write_toml.read_text()
    assert old in text
    write_toml.write_text(text.replace(old, new))
    with pytest.raises(ConfigError) as failure:
        load("dogs", ACCOUNT)
    assert "dogs.toml" in str(failure.value)
    assert message in str(failure.value)
    assert "\n" not in str(failure.value).strip()


def test_a_gpu_with_its_image_may_fine_tune_on_one_instance(write_toml: Path) -> None:
    text = write_toml.read_text().replace("training:2.6.0-cpu-", "training:2.6.0-gpu-")
    text = text.replace("finetune_epochs = 0", "finetune_epochs = 10")
    text = text.replace(
        'instance_type = "ml.m5.xlarge"\ninstance_count', 'instance_type = "ml.g5.xlarge"\ninstance_count'
    )
    write_toml.write_text(text)
    assert load("dogs", ACCOUNT).train.finetune_epochs == 10
    write_toml.write_text(text.replace("instance_count = 1", "instance_count = 2"))
    with pytest.raises(ConfigError, match=r"train: .*set instance_count = 1, or finetune_epochs = 0"):
        load("dogs", ACCOUNT)
