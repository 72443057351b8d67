"""What every operation of the local AWS works with: its store, its address, and AWS's own names."""

import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from localaws.store import Store

Request = dict[str, Any]
Response = dict[str, Any]


@dataclass(frozen=True)
class Credentials:
    """An access key; `session_token` is set for those of an assumed role."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


@dataclass(frozen=True)
class Cloud:
    """One account in one region, served at `url`, with its files under `home`."""

    store: Store
    home: Path
    url: str
    account_id: str
    region: str
    root: Credentials

    def client(self, service: str, credentials: Credentials | None = None) -> Any:
        """A boto3 client of this same server, signed as root unless credentials are given."""
        signer = credentials or self.root
        return boto3.session.Session(
            aws_access_key_id=signer.access_key_id,
            aws_secret_access_key=signer.secret_access_key,
            aws_session_token=signer.session_token,
            region_name=self.region,
        ).client(service, endpoint_url=self.url)

    def assume(self, role_arn: str, session_name: str) -> Credentials:
        """Twelve hours of a role's credentials, as the service that runs under it would get them."""
        answer = self.client("sts").assume_role(
            RoleArn=role_arn, RoleSessionName=session_name[:64], DurationSeconds=43200
        )
        keys = answer["Credentials"]
        return Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])

    def environment(self, credentials: Credentials) -> dict[str, str]:
        """The variables by which a job's process finds this AWS and its own rights."""
        variables = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        }
        if credentials.session_token:
            variables["AWS_SESSION_TOKEN"] = credentials.session_token
        return variables

    def arn(self, service: str, resource: str) -> str:
        """`arn:aws:<service>:<region>:<account>:<resource>`."""
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"

    def directory(self, *parts: str) -> Path:
        """A new, empty directory under `home`."""
        path = self.home.joinpath(*parts)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path


Handler = Callable[[Cloud, Request], Response | Awaitable[Response]]


def now() -> float:
    """The time as AWS's JSON services write it: seconds since the epoch, to the millisecond."""
    return round(time.time(), 3)
