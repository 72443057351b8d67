"""Both background services together: up and down."""

import time

from kennel.local import account, airflow, aws, processes
from kennel.local.api import Airflow
from kennel.local.aws import LocalAws
from kennel.local.errors import RunFailedError
from kennel.local.progress import Progress
from kennel.local.state import Home
from kennel.names import POOL

DAGS = ("retrain", "retrain_on_ec2", "deploy")
AIRFLOW_SECONDS = 180


def start(home: Home, progress: Progress) -> LocalAws:
    """Start what does not run yet and return when the local AWS is ready to be used; Airflow is then still starting.

    When it fails, what it has started is stopped again.
    """
    progress.show("start", "local AWS", "running")
    with home.changing():
        before = {name for name, service in home.services().items() if processes.running(service)}
        # what is left of a service whose leader was killed still holds its ports and files
        _stop(home, set(home.services()) - before)
        try:
            local = aws.start(home)
            airflow.start(home, local)
            aws.wait(local)
            account.prepare(local)
        except BaseException:
            _stop(home, set(home.services()) - before)
            raise
    progress.show("start", "local AWS", "done", local.url + _instead_of(aws.PORT, local.port))
    progress.show("start", "Airflow", "running")
    return local


def wait_for_airflow(home: Home, progress: Progress) -> Airflow:
    """Return when Airflow can be given work.

    Raises RunFailedError when it has ended, a DAG cannot be imported, or it is not there in three minutes.
    """
    api = Airflow.running(home)
    deadline = time.monotonic() + AIRFLOW_SECONDS
    while not api.ready(*DAGS):
        service = home.services().get(airflow.NAME)
        if not processes.running(service) or time.monotonic() > deadline:
            raise RunFailedError(f"Airflow did not start; see {home.log(airflow.NAME)}.")
        time.sleep(0.5)
    api.set_pool(POOL, LocalAws.running(home).classifier.jobs_at_once)
    port = home.services()[airflow.NAME].ports["http"]
    progress.show("start", "Airflow", "done", f"{api.url}{_instead_of(airflow.PORT, port)}  {airflow.login(home)}")
    return api


def _instead_of(preferred: int, port: int) -> str:
    return "" if port == preferred else f" ({preferred} is taken)"


def stop(home: Home) -> bool:
    """Stop everything that was started from here, Airflow first; False when there was nothing."""
    if not home.path.exists():
        return False
    with home.changing():
        return _stop(home, set(home.services()))


def _stop(home: Home, names: set[str]) -> bool:
    services = home.services()
    found = False
    # Airflow's tasks may still want to stop their jobs, so the local AWS goes last.
    for name in sorted(names):
        found |= bool(processes.members(services[name]))
        processes.stop(services[name])
        home.record(name, None)
    return found
