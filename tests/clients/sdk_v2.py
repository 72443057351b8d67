"""The SageMaker Python SDK v2 in a virtual environment of its own: v3 is in ours, and both are called `sagemaker`.

    python tests/clients/sdk_v2.py      makes it, from the package index, if it is not there yet

What is in it is pinned by requirements-sdk-v2.txt; a change of that file makes another one.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).with_name("requirements-sdk-v2.txt")
CACHE = Path(__file__).parents[2] / ".pytest_cache" / "d"


def environment() -> Path:
    """Where it is, made or not."""
    return CACHE / f"sagemaker-sdk-v2-{hashlib.sha256(PINS.read_bytes()).hexdigest()[:12]}"


def python() -> Path:
    """Its interpreter, made first if need be. CalledProcessError when it cannot be: without a package index, say."""
    place = environment()
    interpreter = place / "bin" / "python"
    if not interpreter.exists():
        unfinished = place.with_suffix(".unfinished")
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", unfinished], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(unfinished / "bin" / "python"), "--quiet"]
        options = ["--disable-pip-version-check", "--no-deps", "--retries", "1"]
        subprocess.run([*pip, "install", *options, "--requirement", PINS], check=True)
        unfinished.rename(place)
    return interpreter


if __name__ == "__main__":
    print(python())
