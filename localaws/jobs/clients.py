"""boto3 clients at a few milliseconds each: one session for all, since loading the API models is what takes long."""

import functools
import threading
from typing import Any

import boto3

from localaws.cloud import Cloud, Credentials

_lock = threading.Lock()  # a session makes one client at a time


@functools.cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()


def client(cloud: Cloud, service: str, credentials: Credentials) -> Any:
    """A client of this server, signed with these credentials."""
    with _lock:
        return _session().client(
            service,
            endpoint_url=cloud.url,
            region_name=cloud.region,
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.session_token,
        )


@functools.lru_cache(maxsize=16)
def root_client(cloud: Cloud, service: str) -> Any:
    """The one client of this server's own for a service."""
    return client(cloud, service, cloud.root)


def assume(cloud: Cloud, role_arn: str, session_name: str) -> Credentials:
    """Twelve hours of a role's credentials. botocore's ClientError when the role cannot be assumed."""
    answer = root_client(cloud, "sts").assume_role(
        RoleArn=role_arn, RoleSessionName=session_name[:64], DurationSeconds=43200
    )
    keys = answer["Credentials"]
    return Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
