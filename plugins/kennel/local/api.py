"""A client of Airflow's REST API, as far as following runs needs it."""

import datetime
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import httpx

from kennel.local import airflow, processes
from kennel.local.errors import KennelError, RunFailedError
from kennel.local.state import Home


@dataclass(frozen=True)
class Task:
    """One task of a run: its state, and from first start to end, or until now, in seconds."""

    task_id: str
    state: str
    seconds: float
    attempt: int


@dataclass(frozen=True)
class Run:
    """One run of a DAG; `started` is a time of ISO 8601, nothing while it is queued."""

    dag_id: str
    run_id: str
    state: str
    seconds: float
    started: str

    @property
    def done(self) -> bool:
        """Whether nothing more will happen in it."""
        return self.state in {"success", "failed"}


class Airflow:
    """Airflow's REST API as the admin user."""

    def __init__(self, url: str, password: str) -> None:
        self.url = url
        self._password = password

    @classmethod
    def running(cls, home: Home) -> Self:
        """The one that runs. Raises KennelError when none does."""
        service = home.services().get(airflow.NAME)
        if not processes.running(service):
            raise KennelError('Airflow is not running: start it with "kennel up".')
        return cls(airflow.url(service.ports["http"]), airflow.password(home))

    def healthy(self) -> bool:
        """Whether every component answers."""
        try:
            health = self._http.get("/api/v2/monitor/health").json()
            # the tasks' own API is built at its first request, for longer than a task waits for an answer
            self._http.get("/execution/health")
        except (httpx.TransportError, ValueError):
            return False
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all(health[part]["status"] == "healthy" for part in parts)

    def ready(self, *dag_ids: str) -> bool:
        """Whether it is healthy and these DAGs are known. Raises RunFailedError when a DAG file cannot be imported."""
        if not self.healthy():
            return False
        known = {dag["dag_id"] for dag in self.get("/dags")["dags"]}
        if known.issuperset(dag_ids):
            return True
        for error in self.get("/importErrors")["import_errors"]:
            raise RunFailedError(f"{error['filename']} cannot be imported: {error['stack_trace'].splitlines()[-1]}")
        return False

    def set_pool(self, name: str, slots: int) -> None:
        """Make a pool, or bring it to so many slots; tasks that are deferred hold theirs."""
        pool = {"slots": slots, "description": "SageMaker's instances at work, over all runs", "include_deferred": True}
        made = self._answer("POST", "/pools", json={"name": name, **pool})
        if made.status_code == httpx.codes.CONFLICT:
            made = self._answer("PATCH", f"/pools/{name}", json={"pool": name, **pool})
        self._checked(made)

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run now; its id. The id is ours, so that asking twice starts one run."""
        run_id = f"kennel__{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%S}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        answer = self._answer("POST", f"/dags/{dag_id}/dagRuns", json=body)
        if answer.status_code != httpx.codes.CONFLICT:
            self._checked(answer)
        return run_id

    def run(self, dag_id: str, run_id: str) -> Run:
        """A run as it stands."""
        return _run(self.get(f"/dags/{dag_id}/dagRuns/{run_id}"))

    def last_run(self, dag_id: str, *states: str) -> Run | None:
        """The latest run of a DAG that is in one of these states, or in any if none is given."""
        query: dict[str, Any] = {"state": states} if states else {}
        runs = self.get(f"/dags/{dag_id}/dagRuns", limit=1, order_by="-run_after", **query)["dag_runs"]
        return _run(runs[0]) if runs else None

    def link(self, run: Run) -> str:
        """A run's page in the UI."""
        return f"{self.url}/dags/{run.dag_id}/runs/{run.run_id}"

    def tasks(self, dag_id: str, run_id: str) -> list[Task]:
        """The tasks of a run that have been scheduled or have ended, in the order in which they started."""
        rows = self.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        rows.sort(key=lambda row: (row["start_date"] or "~", row["task_id"]))
        return [
            Task(row["task_id"], row["state"], _seconds(row["start_date"], row["end_date"]), row["try_number"])
            for row in rows
            if row["state"]
        ]

    def triggered_run(self, dag_id: str, run_id: str) -> Run | None:
        """The run of another DAG that an asset event of this run has started, when there is one yet."""
        events = self.get("/assets/events", source_dag_id=dag_id, source_run_id=run_id)["asset_events"]
        for created in (run for event in events for run in event["created_dagruns"]):
            return self.run(created["dag_id"], created["run_id"])
        return None

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned, or None."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        answer = self._answer("GET", path)
        return None if answer.status_code == httpx.codes.NOT_FOUND else self._checked(answer)["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int, *, errors: bool = False) -> list[str]:
        """The lines that an attempt of a task has logged, without their timestamps; only its errors if asked."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        entries = self.get(path)["content"]
        wanted = (entry for entry in entries if not errors or entry.get("level") in {"error", "critical"})
        return [line for entry in wanted for line in _lines(entry)]

    def send(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """Ask for a change of a path under /api/v2. Raises RunFailedError when it is refused."""
        return self._checked(self._answer(method, path, json=body))

    def get(self, path: str, **query: Any) -> Any:
        """GET a path under /api/v2. Raises RunFailedError when it is refused."""
        return self._checked(self._answer("GET", path, params=query))

    def _answer(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Ask, and again for some seconds when Airflow has failed: on SQLite two of its writers can lock each other."""
        for pause in (0.5, 1.0, 2.0, 0.0):
            try:
                answer = self._http.request(method, f"/api/v2{path}", headers=self._login, **content)
            except httpx.TransportError as error:
                raise RunFailedError(f'Airflow at {self.url} does not answer ({error}); see "kennel logs".') from error
            if not answer.is_server_error:
                break
            time.sleep(pause)
        return answer

    def _checked(self, answer: httpx.Response) -> Any:
        if not answer.is_success:
            asked = f"{answer.request.method} {answer.request.url.path}"
            raise RunFailedError(f"Airflow refused {asked}: {answer.status_code} {answer.text[:300]}")
        return answer.json()

    @cached_property
    def _http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    @cached_property
    def _login(self) -> dict[str, str]:
        body = {"username": airflow.USER, "password": self._password}
        answer = self._http.post("/auth/token", json=body)
        if not answer.is_success:
            raise KennelError('Airflow does not take the password kept for it: run "kennel down", then "kennel up".')
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def _run(row: dict[str, Any]) -> Run:
    seconds = _seconds(row["start_date"], row["end_date"])
    return Run(row["dag_id"], row["dag_run_id"], row["state"], seconds, row["start_date"] or "")


def _seconds(start: str | None, end: str | None) -> float:
    if start is None:
        return 0.0
    stop = datetime.datetime.fromisoformat(end) if end else datetime.datetime.now(datetime.UTC)
    return round((stop - datetime.datetime.fromisoformat(start)).total_seconds(), 1)


def _lines(entry: dict[str, Any]) -> list[str]:
    """A log entry's message, a skip's with its reason, and below it what was raised; not the marks of folded groups."""
    message = " ".join(str(entry[part]) for part in ("event", "reason") if part in entry)
    raised = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or []]
    return [line for text in (message, *raised) for line in text.splitlines() if not line.startswith("::")]
