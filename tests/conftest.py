"""A local AWS for the tests: one server for the whole run, in a directory of its own."""

import configparser
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True)
class LocalAws:
    """A running `python -m localaws`."""

    url: str
    home: Path
    region: str
    account_id: str
    process: subprocess.Popen[str]

    @property
    def env(self) -> dict[str, str]:
        """The variables by which an AWS client in another process finds this one, as root."""
        file = configparser.RawConfigParser()
        file.read(self.home / "credentials")
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": file["default"]["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": file["default"]["aws_secret_access_key"],
        }

    def client(self, service: str, **settings: Any) -> Any:
        """A boto3 client of it, as root unless `aws_access_key_id` and the like say otherwise."""
        as_root = {name.lower(): self.env[name] for name in NAMES[:2]}
        settings = settings if "aws_access_key_id" in settings else as_root | settings
        return boto3.session.Session().client(service, endpoint_url=self.url, region_name=self.region, **settings)


def start_local_aws(home: Path, *arguments: str, **environment: str) -> LocalAws:
    """Start one on a free port and wait until it serves; its log goes to `home/log`."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with (home / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "localaws", "--port", "0", "--home", str(home), *arguments],
            env={**kept, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            cwd=Path(__file__).parents[1],
        )
    assert process.stdout
    ready = process.stdout.readline()
    assert ready.startswith("localaws ready: "), (home / "log").read_text()[-4000:]
    return LocalAws(ready.split()[-1], home, "us-east-1", "000000000000", process)


def stop_local_aws(local: LocalAws) -> None:
    """Ask it to stop, and see that it and all that it started in its session are gone."""
    local.process.send_signal(signal.SIGTERM)
    try:
        assert local.process.wait(timeout=60) == 0, (local.home / "log").read_text()[-4000:]
        with pytest.raises(ProcessLookupError):
            os.killpg(local.process.pid, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(local.process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The local AWS that tests share; each makes names of its own in it."""
    local = start_local_aws(tmp_path_factory.mktemp("localaws") / "home")
    yield local
    stop_local_aws(local)
