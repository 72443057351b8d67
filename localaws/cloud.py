"""What every operation of the local AWS works with: its store, its address, and AWS's own names."""

import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
