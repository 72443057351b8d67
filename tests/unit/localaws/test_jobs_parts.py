"""The parts of a job that need neither a server nor a process."""

import json
from typing import Any

import pytest

from localaws.containers import training
from localaws.containers.requirements import satisfied
from localaws.errors import AwsError
from localaws.jobs.environment import image_problem
from localaws.jobs.metrics import Metrics, check_definitions
from localaws.jobs.s3 import TransferError, split_uri
from localaws.jobs.search import Search, ranges

REGISTRY = "763104351884.dkr.ecr.us-east-1.amazonaws.com"


@pytest.mark.parametrize(
    "image",
    [
        f"{REGISTRY}/pytorch-training:2.6.0-cpu-py312",
        f"{REGISTRY}/pytorch-inference@sha256:0123",
        "me/my-pytorch",
        f"{REGISTRY}/huggingface-pytorch-training:2.1",
    ],
)
def test_pytorch_images_run_here(image: str) -> None:
    assert image_problem(image) is None


@pytest.mark.parametrize(
    "image", [f"{REGISTRY}/tensorflow-training:2.16", "pytorch.example.com/xgboost:1", "xgboost:pytorch"]
)
def test_other_images_do_not(image: str) -> None:
    assert "runs only PyTorch" in (image_problem(image) or "")


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("", True),
        ("# nothing\n\n", True),
        ("numpy>=1.0  # any\n", True),
        ("numpy>=1000\n", False),
        ("no-such-package-of-that-name\n", False),
        ("no-such-package ; python_version < '3'\n", True),
        ("-r more.txt\n", False),
        ("numpy @ https://example.com/numpy.whl\n", False),
        ("numpy[extra]\n", False),
    ],
)
def test_requirements_are_known_to_be_satisfied_or_not(text: str, there: bool) -> None:
    assert satisfied(text) is there


def test_metrics_keep_the_last_number_and_report_each() -> None:
    heard: list[tuple[str, float]] = []
    definitions = [{"Name": "loss", "Regex": r"loss=(\S+)"}, {"Name": "whole", "Regex": r"\d+"}]
    metrics = Metrics(definitions, lambda name, value: heard.append((name, value)))
    for line in ("epoch=1 loss=0.5", "loss=inf", "loss=1e-3 loss=2e-3"):
        metrics.read(line)
    assert {entry["MetricName"]: entry["Value"] for entry in metrics.final()} == {"loss": 0.002, "whole": 3}
    assert [value for name, value in heard if name == "loss"] == [0.5, 0.001, 0.002]


def test_expression_that_is_none_is_refused() -> None:
    with pytest.raises(AwsError, match="metric loss is invalid"):
        check_definitions([{"Name": "loss", "Regex": "("}])


@pytest.mark.parametrize("uri", ["http://bucket/key", "bucket/key", "s3://", "s3:///key"])
def test_what_is_no_s3_address_is_refused(uri: str) -> None:
    with pytest.raises(TransferError, match="is not an S3 address"):
        split_uri(uri)


def host(hyperparameters: dict[str, str]) -> training.Host:
    channels = [
        {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3Uri": "s3://b/k", "S3DataType": "S3Prefix"}}}
    ]
    return training.Host(
        "job",
        "arn:job",
        "us-east-1",
        training.decoded(hyperparameters),
        training.resource_config(["algo-1", "algo-2"], "algo-2", "ml.m5.large"),
        training.input_data_config(channels),
    )


def test_hyperparameters_reach_the_script_by_their_meaning() -> None:
    """Those of both SDKs: values as JSON (2.x) and as plain text (3.x); none meant for the toolkit or the tuner."""
    given = {
        "sagemaker_program": '"train.py"',
        "sagemaker_region": "us-east-1",
        "_tuning_objective_metric": "loss",
        "rate": '"0.1"',
        "layers": "[64, 32]",
        "plain": "as it is",
        "n": "3",
    }
    assert training.user_command(host(given)) == [
        *("python", "train.py", "--layers", "[64, 32]", "-n", "3", "--plain", "as it is", "--rate", "0.1"),
    ]
    variables = training.user_environment(host(given))
    assert variables["SM_HP_LAYERS"] == "[64,32]"
    assert json.loads(variables["SM_HPS"]) == {"layers": [64, 32], "n": 3, "plain": "as it is", "rate": "0.1"}
    assert (variables["SM_MODULE_NAME"], variables["SM_USER_ENTRY_POINT"]) == ("train", "train.py")
    assert (variables["SM_CURRENT_HOST"], variables["MASTER_ADDR"]) == ("algo-2", "algo-1")
    assert json.loads(variables["SM_TRAINING_ENV"])["is_master"] is False


def test_torchrun_starts_the_script_on_every_host_when_it_is_asked_for() -> None:
    given = {"sagemaker_program": "train.py", "sagemaker_torch_distributed_enabled": "true", "rate": "0.1"}
    assert training.user_command(host(given)) == [
        *("torchrun", "--nnodes", "2", "--nproc_per_node", "1"),
        *("--master_addr", "algo-1", "--master_port", "7777", "--node_rank", "1"),
        *("train.py", "--rate", "0.1"),
    ]
    facts = json.loads(training.user_environment(host(given))["SM_TRAINING_ENV"])
    assert facts["additional_framework_parameters"] == {"sagemaker_torch_distributed_enabled": True}
    assert facts["distribution_hosts"] == ["algo-1", "algo-2"]


def config(strategy: str, spec: dict[str, Any], kind: str = "Continuous") -> dict[str, Any]:
    return {
        "Strategy": strategy,
        "RandomSeed": 1,
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 30},
        "ParameterRanges": {f"{kind}ParameterRanges": [{"Name": "x", **spec}]},
    }


@pytest.mark.parametrize("scaling", ["Linear", "Logarithmic", "ReverseLogarithmic", "Auto"])
def test_values_stay_in_their_range(scaling: str) -> None:
    spec = {"MinValue": "0.01", "MaxValue": "0.99", "ScalingType": scaling}
    search = Search(config("Random", spec), parallel=1)
    values = [float(search.ask()[1]["x"]) for _ in range(50)]
    assert 0.01 <= min(values) < max(values) <= 0.99


@pytest.mark.parametrize(
    ("scaling", "low", "high", "small"),
    [
        ("Linear", 0.0001, 1.0, 0.1),
        ("Logarithmic", 0.0001, 1.0, 0.75),
        ("Auto", 0.0001, 1.0, 0.75),
        ("Auto", 0.0, 1.0, 0.1),
    ],
)
def test_logarithmic_scaling_looks_at_every_magnitude(scaling: str, low: float, high: float, small: float) -> None:
    """`small` is the share of the values expected below a tenth of the maximum."""
    spec = {"MinValue": str(low), "MaxValue": str(high), "ScalingType": scaling}
    search = Search(config("Random", spec), parallel=1)
    values = [float(search.ask()[1]["x"]) for _ in range(200)]
    assert sum(value < high / 10 for value in values) / len(values) == pytest.approx(small, abs=0.12)


def test_integers_are_written_as_integers() -> None:
    search = Search(config("Random", {"MinValue": "1", "MaxValue": "9"}, "Integer"), parallel=1)
    assert {search.ask()[1]["x"] for _ in range(100)} == {str(number) for number in range(1, 10)}


def test_bayesian_search_closes_in_on_the_best() -> None:
    """Values drawn at random are 2.9 away from the best on average."""
    late = []
    for seed in range(3):
        search = Search({**config("Bayesian", {"MinValue": "0", "MaxValue": "10"}), "RandomSeed": seed}, parallel=1)
        for number in range(30):
            trial, values = search.ask()
            error = abs(float(values["x"]) - 3)
            search.tell(trial, error)
            late += [error] if number >= 20 else []
    assert sum(late) / len(late) < 1.5


def test_values_of_a_range_survive_the_way_out_and_back() -> None:
    for one in ranges(
        {
            "ContinuousParameterRanges": [
                {"Name": "r", "MinValue": "0", "MaxValue": "0.9", "ScalingType": "ReverseLogarithmic"},
                {"Name": "c", "MinValue": "0", "MaxValue": "9"},
            ],
            "CategoricalParameterRanges": [{"Name": "s", "Values": ["32", "64"]}],
        }
    ):
        value = "64" if one.name == "s" else 0.25
        assert one.value(one.text(value)) == value
