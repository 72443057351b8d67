"""Finding the log that a name means: of a service, of a task's latest run, or of a job, an endpoint or a function."""

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from kennel.local import airflow, aws, processes
from kennel.local.api import Airflow, Task
from kennel.local.aws import LocalAws
from kennel.local.errors import KennelError
from kennel.local.services import DAGS
from kennel.local.state import Home

Read = Callable[[], list[str]]
LAST_LINES = 50


def find(home: Home, name: str) -> Read:
    """What reads all lines that there are under a name: `airflow`, `localaws`, `task`, `dag.task` or an AWS name.

    Raises KennelError when nothing has that name.
    """
    if name in (airflow.NAME, aws.NAME):
        return lambda: _file(home, name)
    local = LocalAws.running(home)
    if processes.running(home.services().get(airflow.NAME)):
        api = Airflow.running(home)
        for dag_id, run_id, task in _tasks(api):
            if name in (task.task_id, f"{dag_id}.{task.task_id}"):
                return lambda: api.log(dag_id, run_id, task.task_id, task.attempt)
    streams = list(_streams(local.client("logs"), name))
    if not streams:
        raise KennelError(f'Nothing called {name} has a log: give "airflow", "localaws", a task or a job.')
    return lambda: _events(local.client("logs"), name)


def follow(read: Read) -> Iterator[str]:
    """The last lines, then new ones as they come, without an end."""
    lines = read()
    yield from lines[-LAST_LINES:]
    for _ in count():
        time.sleep(1)
        seen, lines = len(lines), read()
        yield from lines[seen:]


def _file(home: Home, name: str) -> list[str]:
    try:
        return home.log(name).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        raise KennelError(f'{name} has no log yet: start it with "kennel up".') from None


def _tasks(api: Airflow) -> Iterator[tuple[str, str, Task]]:
    """Every task of each DAG's latest run that has begun, with both their names; the latest of all first."""
    begun = (api.last_run(dag_id, "running", "success", "failed") for dag_id in DAGS)
    for run in sorted(filter(None, begun), key=lambda run: run.started, reverse=True):
        yield from ((run.dag_id, run.run_id, task) for task in api.tasks(run.dag_id, run.run_id))


def _streams(logs: Any, name: str) -> Iterator[tuple[str, str]]:
    """Log group and stream of everything called `name`: a group of that name, or streams that begin with it."""
    for page in logs.get_paginator("describe_log_groups").paginate():
        for group in (found["logGroupName"] for found in page["logGroups"]):
            whole = group.rsplit("/", 1)[-1] == name
            query = {} if whole else {"logStreamNamePrefix": f"{name}/"}
            for streams in logs.get_paginator("describe_log_streams").paginate(logGroupName=group, **query):
                for stream in streams["logStreams"]:
                    yield group, stream["logStreamName"]


def _events(logs: Any, name: str) -> list[str]:
    events = []
    for group, stream in _streams(logs, name):
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group, logStreamNames=[stream]):
            events += [(event["timestamp"], event["message"].rstrip()) for event in page["events"]]
    return [message for _, message in sorted(events, key=lambda event: event[0])]
