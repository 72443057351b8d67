"""Retraining over past weeks: each model knows its own week's photos and no later ones, and service never goes back."""

import datetime
import json
import subprocess
import sys
from typing import Any

import pytest

from kennel.config import ROOT
from tests.operations.jobs import statuses
from tests.operations.machine import Machine
from tests.operations.runs import Run, in_service, registered
from tests.stores import eventually

pytestmark = pytest.mark.timeout(1800)  # whole runs, on a machine that may be busy
FIRST = datetime.date(2026, 10, 11)
SUNDAYS = [FIRST + datetime.timedelta(weeks=week) for week in range(6)]
CONF = {"max_jobs": 2, "max_parallel_jobs": 1}
SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def weeks(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> dict[datetime.date, set[str]]:
    """Photos that arrive on six Sundays: their keys below the data sets' prefix."""
    keys = {}
    for seed, sunday in enumerate(SUNDAYS, 1):
        directory = tmp_path_factory.mktemp("weeks") / f"{sunday}"
        command = [sys.executable, str(ROOT / "ml" / "sketch.py"), str(directory), "--breeds", "4", "--train", "3"]
        subprocess.run([*command, "--test", "2", "--seed", str(seed)], check=True)
        machine.push(directory, sunday)
        keys[sunday] = {f"dt={sunday}/{photo.relative_to(directory)}" for photo in directory.rglob("*.jpg")}
    return keys


def at_three(day: datetime.date) -> str:
    return f"{day}T03:00:00Z"


def backfilled(machine: Machine, **options: Any) -> list[Run]:
    """The six runs of a backfill, ended well, in the order of their weeks."""
    eventually(lambda: machine.api.ready("retrain", "deploy"), what=machine.logs)
    weeks = {"dag_id": "retrain", "from_date": at_three(SUNDAYS[0]), "to_date": at_three(SUNDAYS[-1])}
    # On SQLite, Airflow 3.3 takes back a backfill whose creation met a locked database, and a scheduler that had begun
    # one of its runs ends with an error. No run of a paused DAG is begun.
    machine.api.send("PATCH", "/dags/retrain", {"is_paused": True})
    machine.api.send("POST", "/backfills", {**weeks, "max_active_runs": 2, **options})
    machine.api.send("PATCH", "/dags/retrain", {"is_paused": False})
    found = machine.api.get("/dags/retrain/dagRuns", run_type="backfill", order_by="logical_date")["dag_runs"]
    assert [run["logical_date"] for run in found] == [at_three(sunday) for sunday in SUNDAYS]
    return [Run(machine, "retrain", run["dag_run_id"]).ended() for run in found]


def deployments(machine: Machine) -> list[Run]:
    """Every run of `deploy` that has changed the endpoint, ended well, in the order in which they began."""
    found = machine.api.get("/dags/deploy/dagRuns", order_by="start_date")["dag_runs"]
    runs = [Run(machine, "deploy", run["dag_run_id"]).ended() for run in found]
    return [run for run in runs if run.task("deploy_endpoint")["state"] == "success"]


def photos_of(machine: Machine, version: str) -> list[str]:
    """The keys in a snapshot's manifests."""
    s3, names = machine.client("s3"), machine.aws.names
    prefix = names.snapshot(version)
    bodies = (s3.get_object(Bucket=names.bucket, Key=f"{prefix}{split}.manifest")["Body"] for split in SPLITS)
    return [key for body in bodies for key in json.load(body)[1:]]


def test_six_weeks_make_six_models_and_the_newest_serves(
    machine: Machine, weeks: dict[datetime.date, set[str]]
) -> None:
    runs = backfilled(machine, dag_run_conf=CONF)
    packages = {package.run: package for package in registered(machine)}
    made = [packages[run.xcom("snapshot")["run"]] for run in runs]
    assert len(packages) == len(runs)
    newest = [package.run for package in made if package.status == "Approved"][-1]
    # Airflow makes one run of several events, and may tell of only one of them that it did
    eventually(lambda: (serving := in_service(machine)) and serving.run == newest, 300, machine.logs)

    for sunday, package in zip(SUNDAYS, made, strict=True):
        known = set().union(*(keys for day, keys in weeks.items() if day <= sunday))
        used = photos_of(machine, package.metadata["snapshot"])
        assert (package.metadata["cutoff"], sorted(used)) == (f"{sunday}T03:00:00+00:00", sorted(known))
        assert list(statuses(machine, "tune", package.run).values()) == ["Completed"]
        assert statuses(machine, "train", f"{package.run}-train") == {f"{package.run}-train": "Completed"}
        assert statuses(machine, "embed", package.run) == {f"{package.run}-evaluate": "Completed"}
    embedded = statuses(machine, "embed", "-embed-")
    assert len(embedded) == len(runs)
    assert set(embedded.values()) == {"Completed"}

    cutoffs = {package.arn: package.cutoff for package in made}
    deployed = [cutoffs[run.xcom("choose_model")["package_arn"]] for run in deployments(machine)]
    assert deployed == sorted(deployed)
    serving = in_service(machine)
    assert serving
    assert serving.run == newest
