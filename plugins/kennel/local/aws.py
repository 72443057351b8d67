"""The local AWS: its process in the background, its root key, and clients of it."""

import configparser
import http.client
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kennel import config
from kennel.local import ports, processes
from kennel.local.errors import KennelError, RunFailedError
from kennel.local.state import Home
from kennel.names import Names

NAME = "localaws"
PORT = 4566
ACCOUNT_ID = "000000000000"
CLASSIFIER = "dogs"
BACKBONE = "efficientnet_lite0"  # small, and no download; the TOML's is for AWS
START_SECONDS = 30
# Minutes of metrics, alarms and an update's bake last three seconds.
CLOCK_SPEED = "20"


@dataclass(frozen=True)
class LocalAws:
    """The local AWS of one `.kennel/`, served on `port`."""

    home: Home
    port: int

    @classmethod
    def running(cls, home: Home) -> "LocalAws":
        """The one that runs. Raises KennelError when none does."""
        service = home.services().get(NAME)
        if not processes.running(service):
            raise KennelError('The local AWS is not running: start it with "kennel up".')
        return cls(home, service.ports["http"])

    @property
    def url(self) -> str:
        """Its one address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def dag_environment(self) -> dict[str, str]:
        """What the DAGs read from their environment when they work on this AWS."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "KENNEL_ACCOUNT_ID": ACCOUNT_ID,
            "KENNEL_ALLOWED_HOSTS": f"127.0.0.1:{self.port}",
            "KENNEL_BACKBONE": os.environ.get("KENNEL_BACKBONE") or BACKBONE,
            "KENNEL_POLL_SECONDS": "1",
        }

    @cached_property
    def classifier(self) -> config.Classifier:
        """The classifier's settings as they hold here."""
        return settings(self.dag_environment)

    @cached_property
    def names(self) -> Names:
        """The names of everything in this account."""
        return Names.of(self.classifier)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which any client reaches this AWS as its root."""
        section = configparser.RawConfigParser()
        section.read(self.home.localaws / "credentials")
        keys = section["default"]
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": self.classifier.region,
            "AWS_REGION": self.classifier.region,
            "AWS_ACCESS_KEY_ID": keys["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": keys["aws_secret_access_key"],
            "KENNEL_ACCOUNT_ID": ACCOUNT_ID,
        }

    def client(self, service: str, **settings: Any) -> Any:
        """A boto3 client signed as root, whatever the person's own AWS settings and proxies are."""
        import boto3
        from botocore.config import Config

        variables = self.environment
        return boto3.session.Session(
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
            region_name=variables["AWS_REGION"],
        ).client(service, endpoint_url=self.url, config=Config(proxies={}, **settings))

    def healthy(self) -> bool:
        """Whether it answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/_localaws/health")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()


def settings(environ: Mapping[str, str]) -> config.Classifier:
    """The classifier's settings in an environment. Raises KennelError for one that is missing or wrong."""
    try:
        return config.load(CLASSIFIER, environ)
    except config.ConfigError as error:
        raise KennelError(str(error)) from error


def start(home: Home) -> LocalAws:
    """Start the local AWS without waiting for it; one that runs is found again."""
    service = home.services().get(NAME)
    if processes.running(service):
        return LocalAws(home, service.ports["http"])
    aws = LocalAws(home, ports.choose(PORT))
    home.localaws.mkdir(parents=True, exist_ok=True)
    service = processes.start(
        [sys.executable, "-m", "localaws", "--port", str(aws.port), "--home", str(home.localaws)],
        env=processes.environment(
            AWS_DEFAULT_REGION=aws.classifier.region, LOCALAWS_CLOCK_SPEED=CLOCK_SPEED, PYTHONUNBUFFERED="1"
        ),
        log=home.log(NAME),
        cwd=home.localaws,
        ports={"http": aws.port},
    )
    home.record(NAME, service)
    return aws


def wait(aws: LocalAws) -> None:
    """Return when it answers. Raises RunFailedError when it ends or is not there in 30 seconds."""
    deadline = time.monotonic() + START_SECONDS
    while not aws.healthy():
        if not processes.running(aws.home.services().get(NAME)) or time.monotonic() > deadline:
            said = aws.home.log(NAME).read_text().splitlines()[-1:]
            raise RunFailedError(f"The local AWS did not start ({''.join(said)}); see {aws.home.log(NAME)}.")
        time.sleep(0.1)
