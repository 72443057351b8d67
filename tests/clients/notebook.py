"""A client that runs in a process of its own, as a notebook's kernel does."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import LocalAws

SCRIPTS = Path(__file__).with_name("scripts")
SECONDS = 540  # for a notebook on a busy machine, where it takes three minutes; half of it the SDKs sleep


@dataclass(frozen=True)
class Seen:
    """What a notebook found out, and what it printed meanwhile."""

    facts: dict[str, Any]
    output: str

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]


class Notebook:
    """A running script of `scripts/`; its files go to `place`."""

    def __init__(self, place: Path, process: subprocess.Popen[bytes]) -> None:
        self._place = place
        self._process = process
        self._seen: Seen | None = None

    @classmethod
    def start(cls, aws: LocalAws, python: Path, script: str, work: Path, role: str, bucket: str) -> "Notebook":
        """Start `script WORK ROLE OUT`, with only where AWS is and who asks in its environment.

        The SDKs' own configuration file names the bucket, for whose name they would ask AWS's own STS whatever the
        endpoint URL, and has no usage reported.
        """
        place = work / script.removesuffix(".py")
        place.mkdir()
        modules = {"Session": {"DefaultS3Bucket": bucket}, "TelemetryOptOut": True}
        defaults = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": modules}}}
        (place / "config.yaml").write_text(json.dumps(defaults))
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(place / "config.yaml"),
            "PYTHONUNBUFFERED": "1",
            **aws.env,
        }
        with (place / "output").open("wb") as output:
            process = subprocess.Popen(
                [python, SCRIPTS / script, work, role, place / "seen.json"],
                env=environment,
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return cls(place, process)

    def seen(self) -> Seen:
        """What it saw, once it is through."""
        if self._seen is None:
            code = self._process.wait(SECONDS)
            output = (self._place / "output").read_text(errors="replace")
            assert code == 0, output[-6000:]
            self._seen = Seen(json.loads((self._place / "seen.json").read_text()), output)
        return self._seen

    def stop(self) -> None:
        """End it if it still runs."""
        self._process.kill()
        self._process.wait()
