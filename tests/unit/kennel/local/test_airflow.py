import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from kennel.local import airflow
from kennel.local.aws import LocalAws
from kennel.local.state import Home

PORTS = {"http": 18080, "worker_log": 18793, "trigger_log": 18794}


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("AWS_PROFILE", "theirs")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "theirs")
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
    home = Home(tmp_path)
    return airflow.environment(home, LocalAws(home, 14566), PORTS)


def test_every_setting_is_one_that_airflow_has(environment: dict[str, str]) -> None:
    spec = find_spec("airflow")
    assert spec
    assert spec.origin
    known = yaml.safe_load((Path(spec.origin).parent / "config_templates" / "config.yml").read_text())
    settings = [
        name.removeprefix("AIRFLOW__").lower().split("__") for name in environment if name.startswith("AIRFLOW__")
    ]
    assert settings
    for section, key in settings:
        assert key in known[section]["options"]


def test_tasks_work_as_airflows_role_on_the_local_aws(environment: dict[str, str], tmp_path: Path) -> None:
    connection = json.loads(environment["AIRFLOW_CONN_AWS_DEFAULT"])
    assert connection["conn_type"] == "aws"
    assert connection["extra"]["role_arn"] == "arn:aws:iam::000000000000:role/kennel-dogs-airflow"
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:14566"
    assert environment["KENNEL_ALLOWED_HOSTS"] == "127.0.0.1:14566"
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == str(tmp_path / "airflow-credentials")


def test_the_persons_own_settings_stay_out(environment: dict[str, str]) -> None:
    assert "theirs" not in environment.values()
    # not even one in an airflow.cfg opens it to everybody
    assert environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "False"


def test_every_login_has_a_password_of_its_own_in_every_home(tmp_path: Path) -> None:
    homes = [Home(tmp_path / "one"), Home(tmp_path / "other")]
    for home in homes:
        airflow.keep_passwords(home)
    made = [json.loads(home.passwords.read_text()) for home in homes]
    assert [set(passwords) for passwords in made] == [{"admin", "user", "viewer"}] * 2
    words = {word for passwords in made for word in passwords.values()}
    assert len(words) == 6
    assert min(map(len, words)) >= 16
    assert homes[0].passwords.stat().st_mode & 0o777 == 0o600


def test_a_password_is_kept_and_a_missing_one_made(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.passwords.write_text('{"admin": "as it was"}')
    airflow.keep_passwords(home)
    made = home.passwords.read_text()
    assert json.loads(made)["admin"] == "as it was"
    assert set(json.loads(made)) == {"admin", "user", "viewer"}
    airflow.keep_passwords(home)
    assert home.passwords.read_text() == made


def test_every_port_is_the_chosen_one(environment: dict[str, str]) -> None:
    assert environment["AIRFLOW__API__PORT"] == "18080"
    assert environment["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:18080"
    assert environment["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"] == "18793"
    assert environment["AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT"] == "18794"
