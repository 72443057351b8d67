"""A user's requirements.txt: installed only when something in it is not there already, and for that container only."""

import importlib.metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

_INSTALL = """set -e
python -m pip install --disable-pip-version-check --requirement "$1"
shift
exec "$@"
"""


def satisfied(requirements: str) -> bool:
    """Whether this Python has it all. A line that only pip understands (`-r`, an address, an extra) counts as not."""
    lines = (line.partition(" #")[0].strip() for line in requirements.splitlines())
    return all(_installed(line) for line in lines if line and not line.startswith("#"))


def with_requirements(command: list[str], file: Path, seen: str) -> list[str]:
    """`command`, after what is missing of a requirements file was installed into the container's Python (python.py).

    `file` is the file on this machine, `seen` its path in the container.
    """
    if not file.is_file() or satisfied(file.read_text(errors="replace")):
        return command
    return ["sh", "-c", _INSTALL, "sh", seen, *command]


def _installed(line: str) -> bool:
    try:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate():
            return True
        version = importlib.metadata.version(requirement.name)
    except (InvalidRequirement, importlib.metadata.PackageNotFoundError):
        return False
    return not requirement.url and not requirement.extras and requirement.specifier.contains(version, prereleases=True)
