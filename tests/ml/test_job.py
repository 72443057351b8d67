import sys
from pathlib import Path

import pytest

import job
from embed import Options
from job import JobError, parse
from train import Hyperparameters


def test_reads_arguments_by_their_type() -> None:
    options = parse(Hyperparameters, ["--learning_rate", "3e-4", "--epochs", "7", "--backbone", "efficientnet_lite0"])
    assert (options.learning_rate, options.epochs, options.backbone, options.batch_size) == (
        0.0003,
        7,
        "efficientnet_lite0",
        32,
    )


def test_tells_all_problems_at_once() -> None:
    wrong = (
        "--learning_rate fast --batch_size 0 --epochs -1 --weight_decay nan --dropout 1 --backbone vgg --momentum 0.9"
    )
    with pytest.raises(JobError) as raised:
        parse(Hyperparameters, wrong.split())
    assert str(raised.value).split("; ") == [
        "unknown: --momentum 0.9",
        "--learning_rate must be a number, not 'fast'",
        "--backbone must be one of resnet50, efficientnet_lite0, not 'vgg'",
        "--batch_size must be 1 or more, not 0",
        "--epochs must be 1 or more, not -1",
        "--weight_decay must be from 0 to 1, not nan",
        "--dropout must be at least 0 and below 1, not 1.0",
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("--learning_rate 0", "--learning_rate must be above 0 and at most 1, not 0.0"),
        ("--learning_rate inf", "--learning_rate must be above 0 and at most 1, not inf"),
        ("--learning_rate", "--learning_rate must be a number, not ''"),
        ("--epochs 2.5", "--epochs must be a whole number, not '2.5'"),
    ],
)
def test_refuses_a_hyperparameter(arguments: str, problem: str) -> None:
    with pytest.raises(JobError) as raised:
        parse(Hyperparameters, arguments.split())
    assert str(raised.value) == problem


def test_refuses_embeddings_options() -> None:
    with pytest.raises(JobError) as raised:
        parse(Options, ["--views", "0", "--max_unreadable_share", "5", "--seed", "x"])
    assert str(raised.value).split("; ") == [
        "--seed must be a whole number, not 'x'",
        "--views must be from 1 to 64, not 0",
        "--max_unreadable_share must be from 0 to 1, not 5.0",
    ]


@pytest.mark.parametrize(
    ("error", "line"),
    [(JobError("no photos:\nadd some"), "no photos: add some"), (KeyError("head"), "KeyError: 'head'")],
)
def test_a_failure_ends_in_one_line_and_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    def main(argv: list[str]) -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(SystemExit) as raised:
        job.run(main, tmp_path / "output/failure")
    assert raised.value.code == line
    assert (tmp_path / "output/failure").read_text() == line


def test_keeps_a_reason_within_what_sagemaker_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def main(argv: list[str]) -> None:
        raise JobError("photo.jpg, " * 500)

    monkeypatch.setattr(sys, "argv", ["embed.py"])
    with pytest.raises(SystemExit):
        job.run(main, tmp_path / "message")
    assert len((tmp_path / "message").read_text()) == 1024
