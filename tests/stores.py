"""PostgreSQL and Redis from this machine's packages, each in a directory of its own on a free port."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kennel.local import ports

BINARIES = [os.environ["PATH"], *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
INITDB = shutil.which("initdb", path=os.pathsep.join(BINARIES))
REDIS = shutil.which("redis-server")
PASSWORD = "only-for-this-test"


def eventually(
    found: Callable[[], Any], seconds: float = 120, what: Callable[[], Any] | None = None, poll: float = 0.2
) -> Any:
    """What is found, once it is something; otherwise fails, and shows `what`."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline, what() if what else "it never came about"
        time.sleep(poll)
    return result


@contextlib.contextmanager
def running(command: list[str], log: Path, **settings: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, stopped with all of that session at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, **settings)
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(timeout=30)


@contextlib.contextmanager
def redis(home: Path) -> Iterator[str]:
    """A server; its URL."""
    assert REDIS
    [port] = ports.free(1)
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD]
    with running([REDIS, *options], home / "redis.log", cwd=home):
        yield f"redis://:{PASSWORD}@127.0.0.1:{port}/0"


@contextlib.contextmanager
def postgres(home: Path, port: int, password: str = PASSWORD) -> Iterator[str]:
    """A server with the database `airflow`; what follows the scheme in its URL.

    As root it runs as its package's user, since it refuses root.
    """
    assert INITDB
    user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    binaries = Path(INITDB).resolve().parent
    with tempfile.TemporaryDirectory() as directory:
        own = Path(directory)
        (own / "password").write_text(password)
        if user:
            shutil.chown(own, **user)
        options = ["--auth=scram-sha-256", "--username=airflow", f"--pwfile={own}/password", "--no-sync"]
        subprocess.run([INITDB, "-D", own / "data", *options], check=True, stdout=subprocess.DEVNULL, **user)
        address = ["-h", "127.0.0.1", "-p", str(port)]
        command = [f"{binaries}/postgres", "-D", f"{own}/data", "-k", directory, *address]
        with running(command, home / "postgres.log", **user):
            ready = [f"{binaries}/pg_isready", "-q", *address]
            eventually(lambda: subprocess.run(ready, check=False).returncode == 0)
            create = [f"{binaries}/createdb", *address, "--username=airflow", "airflow"]
            subprocess.run(create, env={"PGPASSWORD": password}, check=True)
            yield f"airflow:{password}@127.0.0.1:{port}/airflow"
