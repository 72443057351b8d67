"""What runs, what ran last and what is in service."""

from collections.abc import Iterator

from rich.text import Text

from kennel.local import airflow, aws, deployment, processes
from kennel.local.api import Airflow, Run
from kennel.local.aws import LocalAws
from kennel.local.progress import STYLES
from kennel.local.services import DAGS
from kennel.local.state import Home

DECIDING = ("snapshot", "choose_model")  # when they are skipped there is nothing to do


def lines(home: Home) -> Iterator[Text]:
    """The whole status, a line each; asks only what runs."""
    services = home.services()
    local = LocalAws.running(home) if processes.running(services.get(aws.NAME)) else None
    api = Airflow.running(home) if processes.running(services.get(airflow.NAME)) else None
    if local:
        yield _line("local AWS", "running", local.url)
    else:
        yield _line("local AWS", "stopped", '"kennel up" starts it')
    if api and not api.healthy():
        yield _line("Airflow", "starting", f"{api.url}  {airflow.login(home)}")
    elif api:
        yield _line("Airflow", "running", f"{api.url}  {airflow.login(home)}")
        for dag_id in DAGS:
            yield from _runs(api, dag_id)
    else:
        yield _line("Airflow", "stopped", '"kennel up" starts it')
    if local:
        yield from _deployment(local)
    yield _line("files", "", str(home.path))


def _runs(api: Airflow, dag_id: str) -> Iterator[Text]:
    """The latest run, and the one at work that it waits for."""
    latest = api.last_run(dag_id)
    if latest is None:
        yield _line(dag_id, "never run", "")
        return
    yield _run(api, latest)
    before = api.last_run(dag_id, "running") if latest.state == "queued" else None
    if before and before.run_id != latest.run_id:
        yield _run(api, before)


def _run(api: Airflow, run: Run) -> Text:
    tasks = api.tasks(run.dag_id, run.run_id)
    text = f"{run.seconds:.0f} s  {api.link(run)}"
    if any(task.state == "awaiting_input" for task in tasks):
        text += "  waits for an answer there"
    skipped = [task.task_id for task in tasks if task.task_id in DECIDING and task.state == "skipped"]
    failed = [task.task_id for task in tasks if task.state == "failed"]
    for task_id in [*skipped, *failed][-1:]:
        text += f'  "kennel logs {run.dag_id}.{task_id}" says why'
    return _line(run.dag_id, "skipped" if skipped else run.state, text)


def _deployment(local: LocalAws) -> Iterator[Text]:
    endpoint, scaling, function = deployment.endpoint(local), deployment.autoscaling(local), deployment.function(local)
    if endpoint is None or function is None:
        yield _line("classifier", "not deployed", '"kennel demo" makes and deploys one')
        return
    instances = f"instances: {endpoint['instances']}"
    if scaling:
        instances += f" of {scaling['min']} to {scaling['max']}, for {scaling['target']:g} invocations a minute each"
    yield _line("endpoint", endpoint["status"], f"{endpoint['name']}  {endpoint['config']}  {instances}")
    yield _line("function", f"version {function['version']}", f"{function['name']}:{function['alias']}")


def _line(name: str, state: str, text: str) -> Text:
    style = STYLES.get(state, "yellow" if state in {"stopped", "not deployed"} else "green")
    return Text.assemble((f"{name:15}", "bold"), (f"{state:14}", style), text)
