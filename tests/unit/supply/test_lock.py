"""uv.lock and what is installed from it: every artefact has its hash, and nothing comes from elsewhere."""

import re
import subprocess
import sys
import tomllib
from copy import deepcopy
from typing import Any
from urllib.parse import unquote

import pytest
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

from kennel.config import ROOT

LOCK = tomllib.loads((ROOT / "uv.lock").read_text())
HASH = re.compile(r"sha256:[0-9a-f]{64}")


def unverifiable(lock: dict[str, Any]) -> list[str]:
    """Packages that are not from the index, or have an artefact whose content could change unseen."""
    found = []
    for package in lock["package"]:
        artefacts = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
        if package["source"] == {"editable": "."}:
            continue
        hashed = artefacts and all(HASH.fullmatch(artefact.get("hash", "")) for artefact in artefacts)
        if package["source"].keys() != {"registry"} or not hashed:
            found.append(package["name"])
    return found


def test_every_package_is_from_the_index_and_every_artefact_has_its_hash() -> None:
    assert unverifiable(LOCK) == []
    assert [package["name"] for package in LOCK["package"] if "registry" not in package["source"]] == ["kennel"]


@pytest.mark.parametrize(
    "change",
    [
        {"source": {"git": "https://example.com/pillow?rev=main#0000"}},
        {"source": {"url": "https://example.com/pillow.tar.gz"}},
        {"source": {"directory": "../pillow"}},
        {"wheels": [{"url": "https://example.com/pillow.whl"}]},
        {"wheels": [{"url": "https://example.com/pillow.whl", "hash": "md5:0123456789abcdef0123456789abcdef"}]},
        {"wheels": [], "sdist": {"url": "https://example.com/pillow.tar.gz"}},
    ],
)
def test_finds_a_package_that_could_change_unseen(change: dict[str, Any]) -> None:
    lock = deepcopy(LOCK)
    next(package for package in lock["package"] if package["name"] == "pillow").update(change)
    assert unverifiable(lock) == ["pillow"]


def test_nothing_needs_to_be_built_to_be_installed_here() -> None:
    """A build would run the package's own code, with tools that no hash is known of. The images allow none."""
    here = set(sys_tags())
    for package in LOCK["package"]:
        files = [unquote(wheel["url"].rpartition("/")[2]) for wheel in package.get("wheels", ())]
        fits = any(parse_wheel_filename(file)[3] & here for file in files)
        assert fits or package["name"] in {"kennel", "pywin32"}, package["name"]
    installs = re.findall(r"uv (?:sync|pip install) .*", (ROOT / "Dockerfile").read_text())
    assert len(installs) == 2 and all("--no-build " in command for command in installs)


@pytest.mark.parametrize("file", ["uv.txt", "tests/clients/requirements-sdk-v2.txt"])
def test_every_requirement_that_pip_installs_has_its_hash(file: str) -> None:
    text = (ROOT / file).read_text()
    pinned = re.findall(r"^[^#\s]+==\S+( \\\n +--hash=sha256:[0-9a-f]{64})?", text, re.MULTILINE)
    assert pinned and all(pinned)
    assert len(pinned) == len(re.findall(r"^[^#\s]", text, re.MULTILINE))


BY_NAME = r"pip install\b.* uv=="


def test_uv_itself_is_installed_by_hash_as_it_is_locked() -> None:
    """uv.txt is for pip, which installs uv where it is not there yet."""
    export = ["export", "--frozen", "--quiet", "--only-group", "uv", "--no-header", "--no-annotate"]
    locked = subprocess.check_output([sys.executable, "-m", "uv", *export], cwd=ROOT, text=True)
    assert [
        line for line in (ROOT / "uv.txt").read_text().splitlines() if not line.startswith("#")
    ] == locked.splitlines()
    for user in ("Dockerfile", "Makefile"):
        text = (ROOT / user).read_text()
        assert "--require-hashes --requirement uv.txt" in text
        assert not re.search(BY_NAME, text)
    assert re.search(BY_NAME, "pip install --no-cache-dir uv==0.13.9")
