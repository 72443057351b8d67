"""Retraining over past weeks, as Airflow's own backfill."""

import time
from typing import Any

import httpx

SUNDAY = "2026-11-08T03:00:00Z"


def test_a_past_week_without_new_photos_is_looked_at_and_skipped(api: httpx.Client) -> None:
    week = {"dag_id": "retrain", "from_date": SUNDAY, "to_date": SUNDAY, "max_active_runs": 1, "dag_run_conf": {}}
    created = api.post("/backfills", json=week)
    assert created.is_success, created.text
    run: dict[str, Any] = {}
    deadline = time.monotonic() + 120
    while run.get("state") not in ("success", "failed"):
        assert time.monotonic() < deadline, run
        time.sleep(0.5)
        runs = api.get("/dags/retrain/dagRuns", params={"run_type": "backfill"}).json()["dag_runs"]
        run = runs[0] if runs else {}
    assert (run["state"], run["run_type"], run["logical_date"]) == ("success", "backfill", SUNDAY)
    tasks = api.get(f"/dags/retrain/dagRuns/{run['dag_run_id']}/taskInstances").json()["task_instances"]
    states = {task["task_id"]: task["state"] for task in tasks}
    assert states.pop("publish_code") == "success"
    assert set(states.values()) == {"skipped"}
