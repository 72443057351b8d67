"""A real scheduler on a local AWS, both of which can be killed: Airflow on SQLite, and on PostgreSQL with Celery."""

import contextlib
import datetime
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kennel.config import ROOT
from kennel.local import ports
from kennel.registry import Package
from tests.operations.machine import Machine
from tests.operations.runs import Run, in_service
from tests.stores import INITDB, REDIS, postgres, redis

PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")
FIRST_DAY = datetime.date(2026, 1, 1)


@contextlib.contextmanager
def sqlite(home: Path) -> Iterator[tuple[dict[str, str], tuple[str, ...]]]:
    yield {}, PARTS


@contextlib.contextmanager
def celery(home: Path) -> Iterator[tuple[dict[str, str], tuple[str, ...]]]:
    if not (INITDB and REDIS):
        pytest.skip("PostgreSQL's or Redis's server is not installed")
    with postgres(home, ports.free(1)[0]) as database, redis(home) as broker:
        settings = {
            "CORE__EXECUTOR": "CeleryExecutor",
            "DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{database}",
            "CELERY__BROKER_URL": broker,
            "CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{database}",
            "CELERY__WORKER_CONCURRENCY": "4",
        }
        yield settings, (*PARTS, "celery worker")


BACKENDS = {"sqlite": sqlite, "celery": celery}


@pytest.fixture(scope="session", params=BACKENDS)
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Airflow and the local AWS, ready, without photos."""
    home = tmp_path_factory.mktemp(request.param)
    dags = home / "dags"
    dags.mkdir()
    for file in (*(ROOT / "dags").glob("*.py"), *(Path(__file__).parent / "dags").glob("*.py")):
        shutil.copy(file, dags)
    with BACKENDS[request.param](home) as (settings, parts), Machine(home / "kennel", settings, parts, dags).up() as up:
        yield up


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos of four breeds."""
    directory = tmp_path_factory.mktemp("photos") / "four"
    command = [sys.executable, str(ROOT / "ml" / "sketch.py"), str(directory), "--breeds", "4", "--train", "3"]
    subprocess.run([*command, "--test", "3"], check=True)
    return directory


@pytest.fixture(scope="session")
def served(machine: Machine, photos: Path) -> Package:
    """A model in service."""
    if not in_service(machine):
        machine.push(photos, FIRST_DAY)
        Run.started(machine, "retrain", max_jobs=1).ended().deployment().ended()
    package = in_service(machine)
    assert package
    return package
