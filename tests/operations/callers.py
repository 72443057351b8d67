"""Somebody who asks the endpoint all the time."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.operations.machine import Machine

A_SECOND = 20
AT_ONCE = 10


class Caller:
    """Asks about a photo at a steady rate, never twice about the same failure."""

    def __init__(self, machine: Machine, photo: Path) -> None:
        self.failures: list[str] = []
        self.answers = 0
        self.labels: set[str] = set()  # what the photo was called
        self._endpoint = machine.aws.names.endpoint
        self._body = photo.read_bytes()
        settings = {"retries": {"max_attempts": 0}, "max_pool_connections": AT_ONCE, "read_timeout": 60}
        self._client = machine.client("sagemaker-runtime", **settings)
        self._done = threading.Event()

    @contextlib.contextmanager
    def calling(self) -> Iterator["Caller"]:
        """Call for as long as the context lasts; at its end every answer is there."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            pacemaker = pool.submit(self._keep_pace, pool)
            try:
                yield self
            finally:
                self._done.set()
                pacemaker.result()

    def ask(self) -> None:
        """One question."""
        try:
            answer = self._client.invoke_endpoint(
                EndpointName=self._endpoint, ContentType="image/jpeg", Body=self._body
            )
            said = json.load(answer["Body"])
            self.labels.add(max(zip(said["scores"][0], said["labels"], strict=True))[1])
            self.answers += 1
        except Exception as error:
            self.failures.append(f"{time.strftime('%H:%M:%S')} {error}")

    def _keep_pace(self, pool: ThreadPoolExecutor) -> None:
        while not self._done.wait(1 / A_SECOND):
            pool.submit(self.ask)
