"""What can be reached from another machine while the demo runs."""

import configparser
import contextlib
import ipaddress
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import psutil
import pytest

from kennel.local import processes
from kennel.local.state import Home, Service

pytestmark = pytest.mark.filterwarnings("ignore:The HMAC key is 24 bytes long")  # those are Airflow's own
LOG_SERVERS = ("worker_log", "trigger_log")


@pytest.fixture
def home(kennel: Any, demo: dict[str, Any]) -> Home:
    return Home(kennel.home)


def listening(service: Service) -> set[tuple[str, int]]:
    """Address and port of each socket that a service's processes listen on."""
    found = set()
    for process in processes.members(service):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            for socket in process.net_connections("inet"):
                if socket.status == psutil.CONN_LISTEN:
                    found.add((socket.laddr.ip, socket.laddr.port))
    return found


def test_all_listens_on_the_loopback_but_airflows_log_servers(home: Home) -> None:
    services = home.services()
    found = {name: listening(service) for name, service in services.items()}
    for name, port in (("localaws", "http"), ("airflow", "http")):
        assert ("127.0.0.1", services[name].ports[port]) in found[name]
    open_to_all = {port for ip, port in set.union(*found.values()) if not ipaddress.ip_address(ip).is_loopback}
    # Airflow has no setting for these two
    assert open_to_all == {services["airflow"].ports[name] for name in LOG_SERVERS}


@pytest.fixture
def token(home: Home, demo: dict[str, Any]) -> Callable[..., str]:
    """Tokens for a log, as Airflow makes them, with changes."""
    airflow = configparser.RawConfigParser()
    airflow.read(home.airflow / "airflow.cfg")

    def make(key: str = airflow["api"]["secret_key"], **claims: Any) -> str:
        now = int(time.time())
        return jwt.encode(
            {"aud": "task-instance-logs", "iat": now, "nbf": now, "exp": now + 60, **claims}, key, "HS512"
        )

    return make


@pytest.mark.parametrize("server", LOG_SERVERS)
def test_a_log_server_gives_nothing_without_a_token_for_just_that_log(
    home: Home, demo: dict[str, Any], token: Callable[..., str], server: str
) -> None:
    http = httpx.Client(base_url=f"http://127.0.0.1:{home.services()['airflow'].ports[server]}", trust_env=False)
    log = f"dag_id=retrain/run_id={demo['retrain']['run_id']}/task_id=snapshot/attempt=1.log"
    assert http.get(f"/log/{log}", headers={"Authorization": token(filename=log)}).is_success
    bad = {
        "none": {},
        "another key's": {"Authorization": token("k" * 64, filename=log)},
        "for another log": {"Authorization": token(filename=log.replace("snapshot", "embed"))},
        "late": {"Authorization": token(filename=log, exp=int(time.time()) - 3600)},
    }
    answers = {name: http.get(f"/log/{log}", headers=headers).status_code for name, headers in bad.items()}
    assert answers == dict.fromkeys(bad, httpx.codes.FORBIDDEN)
    for path in ("/", "/log/", "/log/%2e%2e/airflow.cfg"):
        assert http.get(path, headers={"Authorization": token(filename="../airflow.cfg")}).is_client_error
