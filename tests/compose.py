"""docker-compose.yaml as Compose reads it, as far as the tests need that."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
VARIABLE = re.compile(r"\$\{(\w+)(?::\?([^}]*))?\}")


def load() -> dict[str, Any]:
    """The file with its YAML merges done and its variables not yet filled in."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    return loaded


def generated(directory: Path) -> dict[str, str]:
    """The variables of a `.env` that `make .env` writes into a directory."""
    subprocess.run(["make", "--silent", "--file", ROOT / "Makefile", ".env"], cwd=directory, check=True)
    lines = (directory / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def interpolated(text: str, variables: dict[str, str]) -> str:
    """A value with its variables filled in. KeyError for one that is not there."""
    return VARIABLE.sub(lambda match: variables[match[1]], text).replace("$$", "$")


def environment(service: dict[str, Any], variables: dict[str, str]) -> dict[str, str]:
    """What a service's processes see; a name without a value is passed on where it is set."""
    named = service["environment"].items()
    passed = {name: variables[name] for name, value in named if value is None and name in variables}
    return passed | {name: interpolated(value, variables) for name, value in named if value is not None}


def volumes(service: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """Where a service has its volumes: each one's name, or its own path if it has none, and whether it may write."""
    parts = [volume.split(":") for volume in service.get("volumes", ())]
    return {(named[1:] or named)[0]: (named[0], named[-1] != "ro") for named in parts}
