"""Who may do what in the demo's Airflow, tried on each call of its API with each person's own login."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests import people
from tests.e2e.test_backfill import SUNDAY
from tests.stores import eventually

RUN = "/api/v2/dags/retrain/dagRuns/theirs"


@pytest.fixture(scope="module")
def person(kennel: Any, demo: dict[str, Any]) -> Callable[[str], httpx.Client]:
    """Airflow with the login of that name."""
    passwords = json.loads((kennel.home / "airflow-passwords.json").read_text())
    return lambda name: people.logged_in(demo["airflow"]["url"], name, passwords[name])


@pytest.fixture(scope="module")
def places(demo: dict[str, Any], person: Callable[[str], httpx.Client]) -> dict[str, str]:
    """A task of the demo that has succeeded, a backfill, and what Airflow calls the file of the DAG."""
    return people.places(person("admin"), "retrain", SUNDAY) | {
        "dag_run_id": demo["retrain"]["run_id"],
        "run_id": demo["retrain"]["run_id"],
        "task_id": "snapshot",
        "xcom_key": "return_value",
    }


def test_nothing_answers_without_a_login(demo: dict[str, Any], places: dict[str, str]) -> None:
    anybody = httpx.Client(base_url=demo["airflow"]["url"], trust_env=False, timeout=60)
    found = people.answers(anybody, *people.CORE, **places)
    assert len(found) > 100
    assert {call for call, status in found.items() if status != httpx.codes.UNAUTHORIZED} == people.NOBODY
    for path in ("/auth/token", "/auth/token/login"):  # the doors of an Airflow in which everybody is admin
        assert anybody.get(path).status_code == httpx.codes.FORBIDDEN
    wrong = {"username": "admin", "password": "admin"}
    assert anybody.post("/auth/token", json=wrong).status_code == httpx.codes.UNAUTHORIZED
    for path in ("connections/aws_default", "variables/any"):  # what tasks ask, with tokens of their own
        assert anybody.get(f"/execution/{path}").status_code in people.REFUSED


def test_a_viewer_reads_all_of_a_run_and_changes_nothing(
    person: Callable[[str], httpx.Client], places: dict[str, str]
) -> None:
    viewer = person("viewer")
    found = people.answers(viewer, *people.CORE, **places)
    assert people.changes(found) == people.VIEWER
    assert people.closed(found) == people.CLOSED
    task = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}"
    for path in ("/api/v2/dags", task, f"{task}/logs/{{try_number}}", f"{task}/xcomEntries/{{xcom_key}}", "/ui/dags"):
        assert found[f"GET {path}"] == httpx.codes.OK


def test_a_user_works_with_dags_but_not_with_the_installation(person: Callable[[str], httpx.Client]) -> None:
    found = people.answers(person("user"), *people.CORE)
    of_dags = {call for call in people.changes(dict.fromkeys(found, 200)) if people.USER.match(call)}
    assert people.changes(found) == people.VIEWER | of_dags
    assert people.VIEWER | of_dags > people.TRIGGER
    assert people.closed(found) == people.CLOSED


def test_a_user_starts_a_run_that_a_viewer_watches_and_cannot_delete(person: Callable[[str], httpx.Client]) -> None:
    user, viewer = person("user"), person("viewer")
    new = {"dag_run_id": "theirs", "logical_date": None}
    assert viewer.post("/api/v2/dags/retrain/dagRuns", json=new).status_code == httpx.codes.FORBIDDEN
    assert user.post("/api/v2/dags/retrain/dagRuns", json=new).is_success
    ended = eventually(lambda: {viewer.get(RUN).json()["state"]} & {"success", "failed"}, 240)
    assert ended == {"success"}
    assert viewer.delete(RUN).status_code == httpx.codes.FORBIDDEN
    assert user.delete(RUN).is_success
    assert viewer.get(RUN).status_code == httpx.codes.NOT_FOUND
