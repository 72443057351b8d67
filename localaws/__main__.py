"""The command line: `python -m localaws --port 4566 --home DIR`."""

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from localaws.clock import minute_seconds
from localaws.cloud import Cloud
from localaws.home import StartError, hold, root_key
from localaws.jobs import limits
from localaws.store import Store

HOST = "127.0.0.1"
ACCOUNT_ID = "000000000000"
REGION = "us-east-1"
SETTINGS = (
    "In the environment: LOCALAWS_CLOCK_SPEED (1 to 60) makes minutes of metrics and scaling so many times shorter; "
    "LOCALAWS_JOB_MEMORY_MB is what each process of a job or an endpoint may fill, LOCALAWS_JOB_THREADS how many "
    "threads a job may compute with."
)
# The caller's own AWS must not reach into this one, nor into what it starts.
NOT_INHERITED = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "SERVICES",
)


def main() -> int:
    """Serve until SIGTERM or SIGINT. Exit status 2, with one line on stderr, when it cannot start."""
    options = argparse.ArgumentParser(
        prog="python -m localaws", description="An AWS account on this machine.", epilog=SETTINGS
    )
    options.add_argument("--host", default=HOST, help="address to listen on (%(default)s); another only in a container")
    options.add_argument("--port", type=int, default=4566, help="port; 0 takes a free one (%(default)s)")
    options.add_argument("--home", type=Path, default=os.environ.get("LOCALAWS_HOME"), help="where it keeps its files")
    chosen = options.parse_args()
    if chosen.home is None:
        options.error("say where to keep files: --home DIR, or LOCALAWS_HOME")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s [%(name)s] %(message)s")
    try:
        start(chosen.host, chosen.port, chosen.home.absolute())
    except StartError as error:
        print(f"localaws: {error}", file=sys.stderr)
        return 2
    return 0


def start(host: str, port: int, home: Path) -> None:
    """Take the directory and the port, then serve. Raises StartError when either is taken, or a setting is wrong.

    Whatever the host, the server and what it starts reach each other over the loopback.
    """
    try:
        minute_seconds()
        limits.check()
    except ValueError as error:
        raise StartError(str(error)) from error
    os.umask(0o077)  # Keys and photos are their owner's.
    hold(home)
    root = root_key(home)
    listener = listen(host, port)
    region = os.environ.get("AWS_DEFAULT_REGION") or REGION
    url = f"http://{HOST}:{listener.getsockname()[1]}"
    cloud = Cloud(Store(home / "localaws.db"), home, url, ACCOUNT_ID, region, root)
    cloud.directory("tmp")
    for name in NOT_INHERITED:
        os.environ.pop(name, None)
    os.environ.update(environment(cloud, listener.getsockname()[1]))
    from localaws.server import serve  # MiniStack reads its settings from the environment when it is imported.

    asyncio.run(serve(cloud, listener))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. StartError when the port is taken or not allowed."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise StartError(
            f"cannot listen on {host}:{port} ({error}); choose another with --port, or --port 0"
        ) from error
    return listener


def environment(cloud: Cloud, port: int) -> Mapping[str, str]:
    """MiniStack's settings: authentication on, everything kept under home, nothing but the one port opened.

    What the server starts inherits them, and so finds the server, past any proxy.
    """
    direct = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), HOST, "localhost")))
    return {
        "AUTH": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_REGION": cloud.region,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "DOCKER_HOST": f"unix://{cloud.home}/no-docker.sock",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "MINISTACK_ACCOUNT_ID": cloud.account_id,
        "MINISTACK_HOST": "localhost",
        "MINISTACK_REGION": cloud.region,
        "NO_PROXY": direct,
        "PERSIST_STATE": "1",
        "S3_DATA_DIR": str(cloud.home / "s3"),
        "S3_PERSIST": "1",
        "SFTP_ENABLED": "0",
        "STATE_DIR": str(cloud.home / "state"),
        "TMPDIR": str(cloud.home / "tmp"),
        "USE_SSL": "0",
        "no_proxy": direct,
    }


if __name__ == "__main__":
    sys.exit(main())
