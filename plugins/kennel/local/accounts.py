"""The AWS account that `data`, `models` and `teardown` work in: the local AWS, or one that the environment names."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from kennel.local import aws, processes
from kennel.local.aws import LocalAws
from kennel.local.errors import KennelError
from kennel.local.state import Home
from kennel.names import Names


class Account(Protocol):
    """An account: the classifier's names in it, and clients of its services."""

    @property
    def names(self) -> Names:
        """The names of everything in it."""

    def client(self, service: str) -> Any:
        """A boto3 client."""


@dataclass(frozen=True)
class Aws:
    """An account on AWS, reached by boto3's own settings: environment, profile, instance role."""

    names: Names

    def client(self, service: str) -> Any:
        """A boto3 client."""
        import boto3

        return boto3.session.Session(region_name=self.names.region).client(service)


def elsewhere() -> str:
    """The account of `KENNEL_ACCOUNT_ID`, or nothing when that is the local one."""
    account_id = os.environ.get("KENNEL_ACCOUNT_ID", "")
    return "" if account_id == aws.ACCOUNT_ID else account_id


def find(home: Home) -> Account:
    """The account of `KENNEL_ACCOUNT_ID` when that is set to another than the local one, else the local AWS.

    Raises KennelError when that does not run.
    """
    if elsewhere():
        return Aws(Names.of(aws.settings(os.environ)))
    if not processes.running(home.services().get(aws.NAME)):
        raise KennelError(
            'The local AWS is not running: start it with "kennel up", or set KENNEL_ACCOUNT_ID to work on AWS.'
        )
    return LocalAws.running(home)


@contextmanager
def refusals(names: Names) -> Iterator[None]:
    """Turn what AWS refuses, and an AWS that cannot be reached, into one line."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "NoSuchBucket":
            raise KennelError(
                f"There is no bucket {names.bucket}: deploy infra/foundation.yaml to account {names.account_id} first."
            ) from error
        raise KennelError(
            f"AWS refused {error.operation_name} ({code}): use credentials of {names.account_id} that may do it."
        ) from error
    except BotoCoreError as error:
        fix = "put the AWS settings of this shell right"
        if isinstance(error, NoCredentialsError):
            fix = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in this shell"
        raise KennelError(f"{str(error).rstrip('.')}: {fix}.") from error
