"""docs/licences.md, and what may be in it."""

import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement

from kennel.config import ROOT
from supply import licences
from supply.licences import Package

LOCKED = {
    (package["name"], package["version"])
    for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    if package["name"] != "kennel"
}


def test_lists_every_locked_package() -> None:
    assert licences.listed().keys() == LOCKED


def test_gives_what_is_installed_its_licence() -> None:
    installed = {package[:2]: package.licence for package in licences.packages() if package.licence}
    assert {package: licence for package, licence in licences.listed().items() if package in installed} == installed


def test_knows_the_licence_of_everything_that_this_system_needs() -> None:
    export = ["export", "--frozen", "--quiet", "--all-groups", "--no-emit-project", "--no-hashes", "--no-annotate"]
    lines = subprocess.check_output([sys.executable, "-m", "uv", *export, "--no-header"], cwd=ROOT, text=True)
    needed = [
        required
        for required in map(Requirement, lines.splitlines())
        if not required.marker or required.marker.evaluate()
    ]
    assert len(needed) > 300
    pages = licences.listed()
    assert not [str(required) for required in needed if not pages[required.name, str(required.specifier)[2:]]]


def test_allows_every_licence_in_it() -> None:
    found = [Package(*package, licence or None) for package, licence in licences.listed().items()]
    assert not [package for package in found if licences.refused(package)]


@pytest.mark.parametrize(
    "licence",
    [
        "unknown",
        "GPL-3.0-or-later",
        "AGPL-3.0",
        "MIT AND GPL-2.0",
        "(MIT OR Apache-2.0) AND AGPL-3.0",
        "LGPL-2.1",
        "MIT, LGPL",
    ],
)
def test_refuses_others(licence: str) -> None:
    assert licences.refused(Package("stranger", "1.0", licence))
    assert not licences.refused(Package("psycopg2-binary", "1.0", licence))


def test_each_exception_is_needed_and_has_its_reason() -> None:
    names = {name for name, _ in LOCKED}
    for name, (licence, reason) in licences.EXCEPTIONS.items():
        assert any(locked.startswith(name) if name.endswith("-") else locked == name for locked in names), name
        assert licence and len(reason.split()) > 2
    assert not re.search(r"\bGPL", " ".join(licences.listed().values()))
