"""What runs, what ran last and what is in service, in one table."""

from rich.table import Table
from rich.text import Text

from kennel.local import airflow, aws, deployment, processes
from kennel.local.api import Airflow
from kennel.local.aws import LocalAws
from kennel.local.progress import STYLES
from kennel.local.services import DAGS
from kennel.local.state import Home

STOPPED = Text("not running", style="yellow")


def table(home: Home) -> Table:
    """The whole status; asks only what runs."""
    shown = Table.grid(padding=(0, 3))
    services = home.services()
    if processes.running(services.get(aws.NAME)):
        local = LocalAws.running(home)
        shown.add_row("local AWS", Text("running", style="green"), f"{local.url}  pid {services[aws.NAME].pid}")
    else:
        shown.add_row("local AWS", STOPPED, '"kennel up" starts it')
    if processes.running(services.get(airflow.NAME)):
        api = Airflow.running(home)
        shown.add_row("Airflow", Text("running", style="green"), f"{api.url}  pid {services[airflow.NAME].pid}")
        shown.add_row("", "", airflow.login(home))
        _add_runs(shown, api)
    else:
        shown.add_row("Airflow", STOPPED, '"kennel up" starts it')
    if processes.running(services.get(aws.NAME)):
        _add_deployment(shown, LocalAws.running(home))
    shown.add_row("files", "", str(home.path))
    return shown


def _add_runs(shown: Table, api: Airflow) -> None:
    for dag_id in DAGS:
        run = api.last_run(dag_id)
        if run:
            state = Text(run.state, style=STYLES.get(run.state, "cyan"))
            shown.add_row(dag_id, state, f"{run.seconds:.0f} s  {api.url}/dags/{dag_id}/runs/{run.run_id}")
        else:
            shown.add_row(dag_id, Text("never run", style="dim"))


def _add_deployment(shown: Table, local: LocalAws) -> None:
    endpoint, scaling, function = deployment.endpoint(local), deployment.autoscaling(local), deployment.function(local)
    if endpoint is None or function is None:
        shown.add_row("classifier", Text("not deployed", style="yellow"), '"kennel demo" makes one')
        return
    instances = f"instances: {endpoint['instances']}"
    if scaling:
        instances += f" of {scaling['min']} to {scaling['max']}, at {scaling['target']:g} invocations a minute each"
    shown.add_row("endpoint", endpoint["status"], f"{endpoint['name']}  {instances}")
    shown.add_row("function", f"version {function['version']}", f"{function['name']}:{function['alias']}")
