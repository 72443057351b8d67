"""Each call that Airflow's REST API knows, tried with a person's own token; and which of them each person may make."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import yaml

CORE = (
    "airflow/api_fastapi/core_api/openapi/v2-rest-api-generated.yaml",
    "airflow/api_fastapi/core_api/openapi/_private_ui.yaml",
)
FAB = "airflow/providers/fab/auth_manager/api_fastapi/openapi/v2-fab-auth-manager-generated.yaml"
REFUSED = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
NOBODY = {"GET /api/v2/auth/login", "GET /api/v2/monitor/health", "GET /api/v2/version"}
# A viewer may read by these, and change what is its own: favourites, and tokens with its own rights.
VIEWER = {
    "POST /api/v2/dags/{dag_id}/dagRuns/list",
    "POST /api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/list",
    "POST /api/v2/dags/{dag_id}/favorite",
    "POST /api/v2/dags/{dag_id}/unfavorite",
    "POST /ui/auth/token",
}
# Of the two DAGs that retrain: start, by backfill too, pause, and read the file again.
TRIGGER = VIEWER | {
    "PATCH /api/v2/dags/{dag_id}",
    "POST /api/v2/backfills",
    "POST /api/v2/backfills/dry_run",
    "POST /api/v2/dags/{dag_id}/dagRuns",
    "PUT /api/v2/parseDagFile/{file_token}",
}
# And whatever else begins so.
USER = re.compile(r"\w+ /api/v2/(dags(?!/{dag_id}/assets)|backfills|parseDagFile)")
# What neither viewer nor user nor trigger can read.
CLOSED = {
    "GET /api/v2/config",
    "GET /api/v2/config/section/{section}/option/{option}",
    "GET /api/v2/connections",
    "GET /api/v2/connections/{connection_id}",
    "GET /api/v2/variables",
    "GET /api/v2/variables/{variable_key}",
    "GET /ui/connections/hook_meta",
    "GET /ui/teams",
}
CLOSED_BY_FAB = CLOSED | {
    "GET /api/v2/eventLogs",
    "GET /api/v2/eventLogs/{event_log_id}",
    "GET /api/v2/plugins",
    "GET /api/v2/plugins/importErrors",
    "GET /api/v2/providers",
    "GET /auth/fab/v1/permissions",
    "GET /auth/fab/v1/roles",
    "GET /auth/fab/v1/roles/{name}",
    "GET /auth/fab/v1/users",
    "GET /auth/fab/v1/users/{username}",
}


def calls(*specifications: str) -> Iterator[tuple[str, str]]:
    """Method and path of every call in Airflow's own descriptions of its API, but for logging in and out."""
    airflow = find_spec("airflow")
    assert airflow and airflow.origin
    for name in specifications:
        with (Path(airflow.origin).parents[1] / name).open() as file:
            for path, methods in yaml.load(file, yaml.CSafeLoader)["paths"].items():
                if not path.startswith("/auth/token") and not path.endswith("/logout"):
                    yield from ((method.upper(), path) for method in methods)


def answers(http: httpx.Client, *specifications: str, **places: Any) -> dict[str, int]:
    """The status of each call, about these places (a DAG's id, say) and otherwise about things that there are not."""
    dag_id = places.get("dag_id", "1")
    bodies = {
        "backfills": {"dag_id": dag_id},
        "dry_run": {"dag_id": dag_id},
        "clearDagRuns": {"dag_runs": [{"dag_id": dag_id, "dag_run_id": "1"}]},
        "enqueue-test": {"connection_id": "1", "conn_type": "http"},
    }
    # of several things at once
    several = {"actions": [{"action": "delete", "entities": ["1"]}]}
    found = {}
    for method, path in calls(*specifications):
        names = {name: places.get(name, "1") for name in path.replace("}", "{").split("{")[1::2]}
        body = bodies.get(path.rpartition("/")[2], several)
        sent = None if method in ("GET", "DELETE") else body
        # each on a connection of its own: where Airflow fails at a call, it ends the connection
        answer = http.request(method, path.format(**names), json=sent, headers={"Connection": "close"})
        found[f"{method} {path}"] = answer.status_code
    return found


def changes(found: dict[str, int]) -> set[str]:
    """The calls that were let through and may change something."""
    return {call for call, status in found.items() if status != httpx.codes.FORBIDDEN and not call.startswith("GET ")}


def closed(found: dict[str, int]) -> set[str]:
    """What could not be read."""
    return {call for call, status in found.items() if status == httpx.codes.FORBIDDEN and call.startswith("GET ")}


def logged_in(url: str, name: str, password: str) -> httpx.Client:
    """A client of Airflow with a person's own token."""
    http = httpx.Client(base_url=url, trust_env=False, timeout=60)
    answer = http.post("/auth/token", json={"username": name, "password": password})
    http.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
    return http


def places(admin: httpx.Client, dag_id: str, tick: str) -> dict[str, str]:
    """A DAG, what Airflow calls its file, and a backfill of it, which is made of one tick if there is none yet."""
    known = admin.get("/api/v2/backfills", params={"dag_id": dag_id}).json()["backfills"]
    new = {"dag_id": dag_id, "from_date": tick, "to_date": tick, "max_active_runs": 1, "dag_run_conf": {}}
    backfill = known[0] if known else admin.post("/api/v2/backfills", json=new).raise_for_status().json()
    token = admin.get(f"/api/v2/dags/{dag_id}").raise_for_status().json()["file_token"]
    return {"dag_id": dag_id, "backfill_id": str(backfill["id"]), "file_token": token}
