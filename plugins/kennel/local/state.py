"""The `.kennel/` directory: everything that Kennel keeps on this machine."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kennel.config import ROOT
from kennel.local.errors import KennelError


@dataclass(frozen=True)
class Service:
    """A session in the background: its leader by pid and start (a pid is used again), its directory and ports."""

    pid: int
    started: int
    cwd: str
    ports: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Home:
    """Where things are under `.kennel/`, and which services were started from it."""

    path: Path

    @classmethod
    def find(cls) -> "Home":
        """The directory `KENNEL_HOME`, or `.kennel` in the project."""
        return cls(Path(os.environ.get("KENNEL_HOME") or ROOT / ".kennel").absolute())

    @property
    def localaws(self) -> Path:
        """The local AWS's own state, its root key among it."""
        return self.path / "localaws"

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME."""
        return self.path / "airflow"

    @property
    def airflow_keys(self) -> Path:
        """The access key that Airflow starts from, as an AWS shared credentials file."""
        return self.path / "airflow-credentials"

    @property
    def passwords(self) -> Path:
        """Airflow's users and passwords, as its simple auth manager keeps them."""
        return self.path / "airflow-passwords.json"

    @property
    def data(self) -> Path:
        """Photos drawn or fetched here."""
        return self.path / "data"

    @property
    def report(self) -> Path:
        """The page about the demo's last retraining, for a browser."""
        return self.path / "report.html"

    def log(self, service: str) -> Path:
        """What a service prints."""
        return self.path / "logs" / f"{service}.log"

    def services(self) -> dict[str, Service]:
        """The services recorded as started, running or not."""
        try:
            records = json.loads(self._services.read_text())
        except FileNotFoundError:
            return {}
        return {name: Service(**record) for name, record in records.items()}

    def record(self, name: str, service: Service | None) -> None:
        """Remember a started service, or with None forget one."""
        services = self.services()
        services.pop(name, None)
        if service:
            services[name] = service
        text = json.dumps({name: asdict(service) for name, service in services.items()}, indent=2)
        scratch = self._services.with_suffix(".new")
        scratch.write_text(text + "\n")
        scratch.replace(self._services)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep a second `kennel` from starting or stopping services at the same time.

        The directory becomes its owner's only. Raises KennelError when one already is.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"Another kennel is starting or stopping things in {self.path}: wait until it is done."
                raise KennelError(message) from None
            yield

    @property
    def _services(self) -> Path:
        return self.path / "services.json"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    scratch.replace(path)
