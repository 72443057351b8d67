"""The `kennel` command as a person runs it, as far as it goes without anything running."""

import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import kennel.local as kennel_local

Kennel = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def kennel(tmp_path: Path) -> Kennel:
    """Run it with a `.kennel/` of its own in `tmp_path`."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, "KENNEL_HOME": str(tmp_path / "kennel"), "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "kennel.cli", *arguments]
        return subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (32, 32)).save(tmp_path / "dog.jpg")
    return tmp_path / "dog.jpg"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "dog.jpg"], 'No classifier is deployed yet: run "kennel demo" first.'),
        (["env"], 'The local AWS is not running: start it with "kennel up".'),
        (["data", "push", "."], 'The local AWS is not running: start it with "kennel up", or set KENNEL_ACCOUNT_ID'),
        (["rollback", "3"], 'The local AWS is not running: start it with "kennel up".'),
        (["models"], 'The local AWS is not running: start it with "kennel up", or set KENNEL_ACCOUNT_ID'),
        (["logs", "retrain.tune"], 'The local AWS is not running: start it with "kennel up".'),
        (["logs", "airflow"], 'airflow has no log yet: start it with "kennel up".'),
        (["demo", "--data", "nowhere"], "nowhere is not a directory: give one with train/, valid/ and test/"),
        (["demo", "--data", "."], ". has no photos: it needs train/, valid/ and test/"),
        (["demo", "--report", "no/such/out.json"], "There is no directory no/such to write out.json to"),
    ],
)
def test_bad_input_is_one_line_and_starts_nothing(
    kennel: Kennel, photo: Path, arguments: list[str], message: str
) -> None:
    done = kennel(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"kennel: {message}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not (photo.parent / "kennel").exists()


@pytest.mark.parametrize(
    ("arguments", "instead"),
    [
        (["predict", "dog.jpg"], "invoke the function"),
        (["rollback", "3"], 'trigger the DAG deploy with {"version": 3}'),
    ],
)
def test_what_knows_the_local_aws_only_does_not_act_where_another_is_meant(
    kennel: Kennel, monkeypatch: pytest.MonkeyPatch, arguments: list[str], instead: str
) -> None:
    monkeypatch.setenv("KENNEL_ACCOUNT_ID", "210987654321")
    done = kennel(*arguments)
    assert done.returncode == 2
    assert done.stderr == (
        f"kennel: This command knows the local AWS only, not account 210987654321: there, {instead}.\n"
    )


def test_a_setting_that_cannot_be_is_one_line(kennel: Kennel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KENNEL_BACKBONE", "foo")
    done = kennel("up")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "embed.backbone 'foo' is none of resnet50, efficientnet_lite0" in done.stderr


def test_a_date_that_is_none_is_refused(kennel: Kennel) -> None:
    done = kennel("data", "push", ".", "--date", "yesterday")
    assert done.returncode == 2
    assert "yesterday" in done.stderr


def test_down_without_anything_running_is_fine(kennel: Kennel) -> None:
    done = kennel("down")
    assert (done.returncode, done.stdout) == (0, "Nothing is running.\n")


def test_status_says_what_does_not_run_and_how_to_start_it(kennel: Kennel) -> None:
    done = kennel("status")
    assert done.returncode == 0
    assert [line.split()[:3] for line in done.stdout.splitlines()][:2] == [
        ["local", "AWS", "stopped"],
        ["Airflow", "stopped", '"kennel'],
    ]


def imported_by(script: str) -> set[str]:
    """The modules that a new interpreter has after a script."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", f"{script}; import sys; print(*sys.modules)"]
    return set(subprocess.check_output(command, env=variables, text=True).split())


def test_help_imports_nothing_heavy() -> None:
    heavy = {"airflow", "boto3", "botocore", "httpx", "numpy", "pandas", "PIL", "psutil", "pydantic", "torch"}
    assert not heavy & imported_by("import kennel.cli")


def test_no_module_of_the_commands_imports_airflow_or_torch() -> None:
    names = [f"kennel.local.{module.name}" for module in pkgutil.iter_modules(kennel_local.__path__)]
    assert "kennel.local.status" in names
    assert not {"airflow", "torch"} & imported_by(f"import {', '.join(names)}")
