"""Airflow in the background: its settings, its process and its logins."""

import json
import secrets
import sys
from pathlib import Path

from kennel import config
from kennel.local import ports, processes
from kennel.local.aws import LocalAws
from kennel.local.state import Home, Service, write_private

NAME = "airflow"
PORT = 8080
USER = "admin"
# Each login with its role, which are Airflow's own: the others are there to be given away.
LOGINS = {USER: "admin", "user": "user", "viewer": "viewer"}


def start(home: Home, aws: LocalAws) -> Service:
    """Start Airflow without waiting for it; one that runs is found again.

    It needs the local AWS only when a task runs, so both may start at once.
    """
    service = home.services().get(NAME)
    if processes.running(service):
        return service
    # nobody types the log servers' ports, and two Airflows that start at once would both find the usual ones free
    worker_log, trigger_log = ports.free(2)
    taken = {"http": ports.choose(PORT), "worker_log": worker_log, "trigger_log": trigger_log}
    home.airflow.mkdir(parents=True, exist_ok=True)
    keep_passwords(home)
    service = processes.start(
        [sys.executable, "-m", "airflow", "standalone"],
        env=environment(home, aws, taken),
        log=home.log(NAME),
        cwd=home.airflow,
        ports=taken,
    )
    home.record(NAME, service)
    return service


def keep_passwords(home: Home) -> None:
    """Make a password for each login that has none yet. Airflow would print those it makes itself into its log."""
    known = json.loads(home.passwords.read_text()) if home.passwords.exists() else {}
    passwords = {name: known.get(name) or secrets.token_urlsafe(12) for name in LOGINS}
    write_private(home.passwords, json.dumps(passwords))


def environment(home: Home, aws: LocalAws, taken: dict[str, int]) -> dict[str, str]:
    """Everything Airflow and its tasks run under.

    Their AWS identity is the operator user's key, read from a file when a task first needs it; the connection
    `aws_default` assumes Airflow's role from there.
    """
    connection = {
        "conn_type": "aws",
        "extra": {"role_arn": aws.names.role_arn("airflow"), "region_name": aws.classifier.region},
    }
    return processes.environment(
        **aws.dag_environment,
        PATH=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        AWS_DEFAULT_REGION=aws.classifier.region,
        AWS_SHARED_CREDENTIALS_FILE=str(home.airflow_keys),
        AWS_CONFIG_FILE="/dev/null",
        AWS_EC2_METADATA_DISABLED="true",
        AIRFLOW_HOME=str(home.airflow),
        AIRFLOW_CONN_AWS_DEFAULT=json.dumps(connection),
        **{f"AIRFLOW__{name}": value for name, value in settings(home, taken).items()},
    )


def settings(home: Home, taken: dict[str, int]) -> dict[str, str]:
    """Airflow's own settings, by `SECTION__KEY`."""
    return {
        "API__BASE_URL": url(taken["http"]),
        "API__HOST": "127.0.0.1",
        "API__PORT": str(taken["http"]),
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__DAGS_FOLDER": str(config.ROOT / "dags"),
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__PARALLELISM": "4",
        "CORE__PLUGINS_FOLDER": str(config.ROOT / "plugins"),
        # otherwise whoever reaches the port is admin
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home.passwords),
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in LOGINS.items()),
        # a changed DAG file is read again at once; this is for what DAG files import
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        # a line for every request and every client made would bury the rest
        "LOGGING__NAMESPACE_LEVELS": "http.access=WARNING botocore=WARNING",
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(taken["trigger_log"]),
        "LOGGING__WORKER_LOG_SERVER_PORT": str(taken["worker_log"]),
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        # the supervisor of a task that has ended may sleep for this long, in seconds, before it says so
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }


def url(port: int) -> str:
    """The address of Airflow's UI and REST API."""
    return f"http://127.0.0.1:{port}"


def password(home: Home) -> str:
    """The admin user's password."""
    word: str = json.loads(home.passwords.read_text())[USER]
    return word


def login(home: Home) -> str:
    """User and password as a person is shown them."""
    return f"user {USER}, password {password(home)}"
