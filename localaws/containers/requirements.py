"""A user's requirements.txt: installed only when something in it is not there already, and for that container only."""

import importlib.metadata
import importlib.util
import sysconfig
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

# A virtual environment over this one: pip counts what is here as installed, and puts all else beside the user's code.
_INSTALL = """set -e
python -m venv {flags} "$1"
echo {parent} > "$1"/{packages}/parent.pth
"$1"/bin/python -m pip install --disable-pip-version-check --requirement "$2"
shift 2
exec "$@"
"""


def satisfied(requirements: str) -> bool:
    """Whether this Python has it all. A line that only pip understands (`-r`, an address, an extra) counts as not."""
    lines = (line.partition(" #")[0].strip() for line in requirements.splitlines())
    return all(_installed(line) for line in lines if line and not line.startswith("#"))


def with_requirements(command: list[str], environment: dict[str, str], file: Path, seen: str, place: str) -> list[str]:
    """`command`, after what is missing of a requirements file was installed; `environment` is changed to find it.

    `file` is the file on this machine, `seen` its path in the container, `place` a new directory there.
    """
    if not file.is_file() or satisfied(file.read_text(errors="replace")):
        return command
    environment["PATH"] = f"{place}/bin:{environment['PATH']}"
    packages = Path(sysconfig.get_path("purelib")).relative_to(sysconfig.get_path("data"))
    script = _INSTALL.format(
        flags="--without-pip" if importlib.util.find_spec("pip") else "",
        parent=sysconfig.get_path("purelib"),
        packages=packages,
    )
    return ["sh", "-c", script, "sh", place, seen, *command]


def _installed(line: str) -> bool:
    try:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate():
            return True
        version = importlib.metadata.version(requirement.name)
    except (InvalidRequirement, importlib.metadata.PackageNotFoundError):
        return False
    return not requirement.url and not requirement.extras and requirement.specifier.contains(version, prereleases=True)
