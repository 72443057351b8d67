"""Where the demo's secrets are after it, and who can see them."""

import base64
import configparser
import contextlib
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from kennel.local import processes
from kennel.local.state import Home

# The files that are there to hold secrets.
KEPT = {
    "airflow-credentials",
    "airflow-passwords.json",
    "airflow/airflow.cfg",
    "localaws/credentials",
    "localaws/state/iam.json",
    "localaws/state/sts.json",
}
# A token of Airflow's, or what makes an address a presigned one, whatever key it was made with.
TOKENS = (
    r"eyJ[[:alnum:]_-]{10,}\.eyJ[[:alnum:]_-]{10,}\.[[:alnum:]_-]{10,}|X-Amz-(Signature|Security-Token)=[[:alnum:]]"
)


def key(file: Path) -> str:
    """The secret of an AWS shared credentials file."""
    found = configparser.RawConfigParser()
    found.read(file)
    return found["default"]["aws_secret_access_key"]


def issued(state: Any) -> Iterator[str]:
    """Every secret and token in what the local AWS remembers."""
    if isinstance(state, dict):
        yield from (state[name] for name in ("SecretAccessKey", "SessionToken") if name in state)
    if isinstance(state, dict | list):
        for value in state.values() if isinstance(state, dict) else state:
            yield from issued(value)


def grep(place: Path, *options: str, what: str = "") -> set[Path]:
    """The files under a directory in which GNU grep finds something, binary ones too."""
    command = ["grep", "--recursive", "--text", "--files-with-matches", *options, str(place)]
    found = subprocess.run(command, input=what, capture_output=True, text=True, check=False)
    # What runs on may take a file away between grep's seeing and opening it.
    assert all(line.endswith("No such file or directory") for line in found.stderr.splitlines()), found.stderr
    return {Path(line) for line in found.stdout.splitlines()}


@pytest.fixture(scope="module")
def home(kennel: Any, demo: dict[str, Any]) -> Home:
    return Home(kennel.home)


@pytest.fixture(scope="module")
def secrets(home: Home) -> set[str]:
    """All that are in use: keys, passwords, and whatever any role was ever handed."""
    airflow = configparser.RawConfigParser()
    airflow.read(home.airflow / "airflow.cfg")
    own = (airflow["core"]["fernet_key"], airflow["api"]["secret_key"], airflow["api_auth"]["jwt_secret"])
    states = {name: (home.localaws / "state" / f"{name}.json").read_text() for name in ("iam", "sts")}
    roles = {name: set(issued(json.loads(state))) for name, state in states.items()}
    assert key(home.airflow_keys) in roles["iam"]
    assert len(roles["sts"]) > 20  # a secret and a token for Airflow's tasks, each job, the endpoint and the function
    passwords = json.loads(home.passwords.read_text()).values()
    found = {key(home.localaws / "credentials"), *own, *passwords, *roles["iam"], *roles["sts"]}
    assert min(map(len, found)) >= 16
    return found


@pytest.fixture(scope="module")
def unpacked(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the archives that a run leaves behind: code, models, vectors, the function."""
    place = tmp_path_factory.mktemp("unpacked")
    for number, file in enumerate(file for file in home.localaws.rglob("*") if file.is_file()):
        with contextlib.suppress(FileNotFoundError):  # it was taken away meanwhile
            if zipfile.is_zipfile(file):
                zipfile.ZipFile(file).extractall(place / str(number))
            elif file.open("rb").read(2) == b"\x1f\x8b":
                shutil.unpack_archive(file, place / str(number), "gztar")
    return place


def test_a_run_leaves_its_secrets_only_where_they_are_kept(home: Home, secrets: set[str], unpacked: Path) -> None:
    everything = home.path.parent
    assert any((home.airflow / "logs").rglob("attempt=1.log"))
    assert b"rendered_task_instance_fields" in (home.airflow / "airflow.db").read_bytes()
    assert any(unpacked.rglob("*.py"))
    forms = {
        form
        for secret in secrets
        for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("="))
    }
    what = "\n".join(forms)
    found = grep(everything, "--fixed-strings", "--file=-", what=what)
    assert {os.path.relpath(file, home.path) for file in found} == KEPT
    assert {file.stat().st_mode & 0o777 for file in found} == {0o600}
    assert grep(unpacked, "--fixed-strings", "--file=-", what=what) == set()
    assert home.path.stat().st_mode & 0o777 == 0o700  # and nobody else looks at the rest


def test_a_run_leaves_no_token_of_airflows_and_no_presigned_address(home: Home, unpacked: Path) -> None:
    assert grep(home.path.parent, "--extended-regexp", f"--regexp={TOKENS}") == set()
    assert grep(unpacked, "--extended-regexp", f"--regexp={TOKENS}") == set()


def test_commands_print_no_secret_but_how_to_log_in(kennel: Any, home: Home, secrets: set[str]) -> None:
    printed = "".join(kennel.printed)
    password = json.loads(home.passwords.read_text())["admin"]
    assert {secret for secret in secrets if secret in printed} == {password}


def test_no_command_line_holds_a_secret(home: Home, secrets: set[str]) -> None:
    lines = []
    for process in (one for service in home.services().values() for one in processes.members(service)):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            lines.append(" ".join(process.cmdline()))
    assert any("localaws" in line for line in lines) and any("airflow" in line for line in lines)
    assert not [line for line in lines if any(secret in line for secret in secrets)]
