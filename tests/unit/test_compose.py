"""docker-compose.yaml, Dockerfile and .env, as far as they can be checked without an engine."""

import base64
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kennel.config import load as load_classifier
from kennel.defaults import POOL
from tests.compose import ROOT, VARIABLE, environment, generated, load

AIRFLOW = ("init", "api-server", "scheduler", "dag-processor", "triggerer", "worker")
SECRET = re.compile(r"PASSWORD|SECRET|KEY")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return load()


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return generated(tmp_path_factory.mktemp("compose"))


def test_has_every_part_of_airflow_and_the_local_aws_beside_it(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {*AIRFLOW, "postgres", "redis", "localaws", "foundation"}
    assert {name for name, service in services.items() if service.get("profiles") == ["local"]} == {
        "localaws",
        "foundation",
    }
    one_shot = {name for name, service in services.items() if service["restart"] == "no"}
    assert one_shot == {"init", "foundation"}
    assert {name for name, service in services.items() if "healthcheck" not in service} == one_shot


def test_every_file_it_mounts_or_builds_from_exists(compose: dict[str, Any]) -> None:
    volumes = [volume for service in compose["services"].values() for volume in service.get("volumes", [])]
    sources = {volume.split(":")[0] for volume in volumes}
    assert {source for source in sources if not source.startswith("./")} == set(compose["volumes"])
    assert not [source for source in sources if source.startswith("./") and not (ROOT / source).exists()]
    dockerfile = (ROOT / "Dockerfile").read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))
    targets = {service["build"]["target"] for service in compose["services"].values() if "build" in service}
    assert targets < stages
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE) for name in line.split()]
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert copied and not [name for name in copied if f"!{name}" not in kept or not (ROOT / name).exists()]


def test_waits_only_for_services_that_are_there(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for name, condition in service.get("depends_on", {}).items():
            assert condition["condition"] != "service_healthy" or "healthcheck" in services[name]
            # Who is in no profile must not need one who is.
            assert condition.get("required", True) is ("profiles" in service or "profiles" not in services[name])


def test_is_reachable_from_this_machine_only(compose: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert ports == {"api-server": ["127.0.0.1:8080:8080"]}


def test_every_variable_comes_from_the_generated_file_or_stays_unset(
    compose: dict[str, Any], variables: dict[str, str]
) -> None:
    used = {match[1] for match in VARIABLE.finditer((ROOT / "docker-compose.yaml").read_text())}
    assert used <= set(variables)
    passed = {
        name
        for service in compose["services"].values()
        for name, value in service.get("environment", {}).items()
        if value is None
    }
    assert set(variables) - used - passed == {"COMPOSE_PROFILES"}
    assert passed - set(variables) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}


def test_refuses_to_start_without_the_generated_file_and_says_so() -> None:
    text = (ROOT / "docker-compose.yaml").read_text()
    messages: dict[str, set[str]] = {}
    for match in VARIABLE.finditer(text):
        messages.setdefault(match[1], set()).add(match[2])
    assert all("is not set: run make .env" in found for found in messages.values()), messages


def test_no_secret_stands_in_the_file_or_has_another_value_for_want_of_its_own(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yaml").read_text()
    assert len(VARIABLE.findall(text)) == text.count("${")
    settings = [item for service in compose["services"].values() for item in service.get("environment", {}).items()]
    secret = [value for name, value in settings if value and (SECRET.search(name) or re.search("://.*:.*@", value))]
    assert len(set(secret)) == 10
    assert not [value for value in secret if not re.search(r"\$\{\w*(PASSWORD|SECRET|KEY)", value)]


def test_makes_other_passwords_and_keys_each_time(variables: dict[str, str], tmp_path: Path) -> None:
    names = [name for name in variables if SECRET.search(name)]
    others = generated(tmp_path)
    values = {made[name] for made in (variables, others) for name in names}
    assert len(names) == 8 and len(values) == 16
    assert {len(base64.b64decode(value)) for value in values} == {32}
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_keeps_passwords_once_made(tmp_path: Path) -> None:
    assert generated(tmp_path) == generated(tmp_path)


def test_airflow_works_on_the_local_aws_that_is_started(compose: dict[str, Any], variables: dict[str, str]) -> None:
    address = compose["services"]["localaws"]["networks"]["default"]["ipv4_address"]
    port = compose["services"]["localaws"]["command"][-3]
    for name in AIRFLOW:
        seen = environment(compose["services"][name], variables)
        assert seen["AWS_ENDPOINT_URL"] == f"http://{address}:{port}"
        assert seen["KENNEL_ALLOWED_HOSTS"] == f"{address}:{port}"


def test_the_pool_has_the_classifiers_slots_and_counts_deferred_tasks(compose: dict[str, Any]) -> None:
    slots = load_classifier("dogs", {"KENNEL_ACCOUNT_ID": "0" * 12}).jobs_at_once
    made = next(line for line in compose["services"]["init"]["command"][-1].splitlines() if " pools " in line)
    assert made.startswith(f"airflow pools set {POOL} {slots} ")
    assert made.endswith(" --include-deferred")


def test_airflow_image_has_all_but_what_the_jobs_need(tmp_path: Path) -> None:
    command = re.search(r"uv export (.+?)&&", (ROOT / "Dockerfile").read_text(), re.DOTALL)
    assert command
    options = command[1].replace("\\\n", " ").replace("/tmp/requirements.txt", str(tmp_path / "requirements.txt"))
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "run the tests with make or uv"
    subprocess.run([uv, "export", *options.split()], cwd=ROOT, check=True)
    packages = set(re.findall(r"^([\w.-]+)==", (tmp_path / "requirements.txt").read_text(), re.MULTILINE))
    providers = {f"apache-airflow-providers-{name}" for name in ("amazon", "celery", "fab", "standard")}
    assert packages >= {"apache-airflow", "aiobotocore", "matplotlib", "psycopg2-binary", "redis"} | providers
    assert not [
        name for name in packages if name.startswith(("torch", "nvidia", "triton", "ministack", "sagemaker-core"))
    ]
