"""A local AWS for the tests: one server for the whole run, in a directory of its own."""

import configparser
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.answers import check_client

REPOSITORY = Path(__file__).parents[1]
SESSION = boto3.session.Session()  # one for all clients: it keeps the models it has parsed
ANYONE_HERE = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}


# The layers whose tests all lean on one long run, the longest first; apart they would start it a second time.
TOGETHER = ("e2e", "clients")
OURS = ("KENNEL_HOME", "KENNEL_PHOTOS")


def pytest_configure() -> None:
    """A person's own AWS and Airflow must not reach into the tests."""
    for name in [name for name in os.environ if name.startswith(("AIRFLOW", "AWS_", "KENNEL_")) and name not in OURS]:
        del os.environ[name]


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may run beside what (see `make test`): each file apart, the layers named above as a whole and first."""
    places = {item: item.path.relative_to(REPOSITORY / "tests").parts for item in items}
    for item, place in places.items():
        item.add_marker(pytest.mark.xdist_group(place[0] if place[0] in TOGETHER else "/".join(place)))
    items.sort(key=lambda item: (*TOGETHER, places[item][0]).index(places[item][0]))


@dataclass(frozen=True)
class LocalAws:
    """A running `python -m localaws`."""

    url: str
    home: Path
    region: str
    account_id: str
    process: subprocess.Popen[Any]

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
        """A boto3 client of it that checks all answers, as root unless `aws_access_key_id` and the like are given."""
        if "aws_access_key_id" not in settings:
            names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
            settings |= {name.lower(): self.env[name] for name in names}
        client = SESSION.client(service, endpoint_url=self.url, region_name=self.region, **settings)
        check_client(client)
        return client

    def role(self, *statements: dict[str, Any]) -> dict[str, str]:
        """A client's credentials as a new role that has these policy statements and no others."""
        name = f"role-{secrets.token_hex(6)}"
        iam = self.client("iam")
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(ANYONE_HERE))["Role"]
        if statements:
            policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
            iam.put_role_policy(RoleName=name, PolicyName="policy", PolicyDocument=policy)
        keys = self.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
        return {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys["SessionToken"],
        }


def start_local_aws(home: Path, **environment: str) -> LocalAws:
    """Start one on a free port and wait until it serves; its log goes to `home/log`."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with (home / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "localaws", "--port", "0", "--home", str(home)],
            env={**kept, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            cwd=REPOSITORY,
        )
    assert process.stdout
    ready = process.stdout.readline()
    if not ready.startswith("localaws ready: "):
        process.kill()
        pytest.fail((home / "log").read_text()[-4000:])
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


@contextlib.contextmanager
def running_local_aws(home: Path, **environment: str) -> Iterator[LocalAws]:
    """One that is stopped at the end, however that comes."""
    local = start_local_aws(home, **environment)
    try:
        yield local
    finally:
        stop_local_aws(local)


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The local AWS that tests share; each makes names of its own in it."""
    with running_local_aws(tmp_path_factory.mktemp("localaws") / "home") as local:
        yield local
