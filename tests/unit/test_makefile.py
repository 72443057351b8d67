"""The Makefile, as far as it can be tried without installing anything."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kennel.config import ROOT

TOOLS = ("bash", "env", "sh")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory with the Makefile, and with `bin/` of nothing but a few basic tools."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    return tmp_path


def make(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make with only `bin/` on the PATH."""
    return subprocess.run(
        [str(shutil.which("make")), *arguments],
        cwd=checkout,
        env={"PATH": str(checkout / "bin"), "HOME": str(checkout), **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("target", ["demo", "down", "lint", "test", "test-unit"])
def test_says_in_one_line_that_python_is_missing(checkout: Path, target: str) -> None:
    refused = make(checkout, target)
    assert refused.returncode == 2
    message, makes_own = refused.stderr.splitlines()
    assert message == "Kennel needs Python 3.11: install python3.11 and python3.11-venv, or put python3.11 on the PATH."
    assert makes_own.startswith("make: ***")
    assert not (checkout / ".uv").exists() and not (checkout / ".venv").exists()


def test_says_the_same_when_only_uv_is_there(checkout: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "run the tests with make or uv"
    (checkout / "bin" / "uv").write_text(f'#!/bin/sh\nexec {uv} "$@" --no-python-downloads\n')
    (checkout / "bin" / "uv").chmod(0o755)
    refused = make(checkout, "lint", UV_PYTHON_PREFERENCE="only-managed", UV_PYTHON_INSTALL_DIR=str(checkout / "none"))
    assert refused.stderr.startswith("Kennel needs Python 3.11:"), refused.stderr


def test_keeps_a_persons_own_aws_and_airflow_settings_out(checkout: Path) -> None:
    settings = {"AWS_PROFILE": "work", "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor", "KENNEL_BACKBONE": "resnet50"}
    passed = {"KENNEL_PHOTOS": "/photos", "KENNEL_HOME": "/home/kennel", "HTTPS_PROXY": "http://proxy"}
    seen = make(checkout, "--eval", "show: ; @env", "show", **settings, **passed).stdout
    assert not [name for name in settings if f"{name}=" in seen]
    assert not [name for name, value in passed.items() if f"{name}={value}" not in seen]


def test_lists_every_target(checkout: Path) -> None:
    for tool in ("expand", "sed"):
        (checkout / "bin" / tool).symlink_to(str(shutil.which(tool)))
    targets = {name for line in make(checkout).stdout.splitlines() for name in line[:80].split()}
    assert {
        "demo",
        "down",
        "lint",
        "test",
        "test-unit",
        "test-ml",
        "test-localaws",
        "test-clients",
        "test-dags",
        "test-e2e",
        "test-security",
        "test-operations",
        "licences",
        "audit",
        ".env",
    } <= targets
