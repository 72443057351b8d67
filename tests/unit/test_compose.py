"""docker-compose.yaml, Dockerfile and .env, as far as they can be checked without an engine."""

import base64
import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kennel.config import load as load_classifier
from kennel.names import POOL
from tests.compose import ROOT, VARIABLE, environment, generated, load, volumes
from tests.wheel import wheel

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
    sources = {source for service in compose["services"].values() for source, _ in volumes(service).values()}
    assert {source for source in sources if not source.startswith(("./", "/"))} == set(compose["volumes"])
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


def test_every_container_has_no_rights_and_a_read_only_root(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.keys() & {"cap_add", "devices", "group_add", "ipc", "pid", "privileged", "userns_mode"}, name


def test_no_container_runs_as_root(compose: dict[str, Any]) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    stages = {
        stage.split(maxsplit=3)[2].strip(): stage for stage in re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[1:]
    }
    for name, service in compose["services"].items():
        users = (
            re.findall(r"^USER (.+)$", stages[service["build"]["target"]], re.MULTILINE) if "build" in service else []
        )
        assert (service.get("user") or users[-1]) in {"airflow", "postgres", "redis"}, name
    assert "useradd --uid 50000" in stages["base"]


def test_every_place_that_a_container_may_write_to_is_one_of_these(compose: dict[str, Any]) -> None:
    writable = {
        name: {*service.get("tmpfs", ()), *(place for place, (_, may_write) in volumes(service).items() if may_write)}
        for name, service in compose["services"].items()
    }
    airflow = {"/opt/airflow", "/opt/airflow/logs", "/tmp", "/var/tmp"}
    local_aws = {"/opt/kennel/.kennel", "/tmp"}
    assert writable == {
        **dict.fromkeys(AIRFLOW, airflow),
        "foundation": local_aws,
        "localaws": local_aws,
        "postgres": {"/tmp", "/var/lib/postgresql/data", "/var/run/postgresql"},
        "redis": {"/data"},
    }


def test_every_image_of_others_is_named_by_its_digest(compose: dict[str, Any]) -> None:
    images = [service["image"] for service in compose["services"].values() if "build" not in service]
    dockerfile = (ROOT / "Dockerfile").read_text()
    stages = re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE)
    images += [image for image in re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) if image not in stages]
    assert len(images) == 3
    assert not [image for image in images if not re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image)]


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


def test_adds_what_a_file_of_an_earlier_version_lacks(tmp_path: Path) -> None:
    whole = generated(tmp_path)
    kept = [line for line in (tmp_path / ".env").read_text().splitlines() if "VIEWER" not in line and "AWS" not in line]
    (tmp_path / ".env").write_text("\n".join(kept) + "\n")
    again = generated(tmp_path)
    assert set(whole) - set(again) == {name for name in whole if "AWS" in name}  # somebody's own choice
    assert {name for name in again if again[name] != whole[name]} == {"AIRFLOW_VIEWER_PASSWORD"}


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
    subprocess.run([sys.executable, "-m", "uv", "export", *options.split()], cwd=ROOT, check=True)
    packages = set(re.findall(r"^([\w.-]+)==", (tmp_path / "requirements.txt").read_text(), re.MULTILINE))
    providers = {f"apache-airflow-providers-{name}" for name in ("amazon", "celery", "fab", "standard")}
    assert packages >= {"apache-airflow", "aiobotocore", "matplotlib", "psycopg2-binary", "redis"} | providers
    assert not [
        name for name in packages if name.startswith(("torch", "nvidia", "triton", "ministack", "sagemaker-core"))
    ]


def test_image_installs_only_what_has_the_locked_hash(tmp_path: Path) -> None:
    command = re.search(r"uv (pip install .+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert command
    here = {"/opt/venv/bin/python": sys.executable, "/tmp/requirements.txt": str(tmp_path / "requirements.txt")}
    words = [here.get(word, word) for word in command[1].split()]
    name, content = wheel()
    (tmp_path / name).write_bytes(content)

    def install(requirement: str) -> str:
        (tmp_path / "requirements.txt").write_text(f"{requirement}\n")
        offline = ["--no-index", "--find-links", str(tmp_path), "--no-cache", "--target", str(tmp_path / "installed")]
        return subprocess.run([sys.executable, "-m", "uv", *words, *offline], capture_output=True, text=True).stderr

    assert "Hash mismatch" in install(f"dogtools==1.0 --hash=sha256:{'0' * 64}")
    assert "--require-hashes" in install("dogtools==1.0")
    assert not (tmp_path / "installed" / "dogtools.py").exists()
    assert not install(f"dogtools==1.0 --hash=sha256:{hashlib.sha256(content).hexdigest()}")
    assert (tmp_path / "installed" / "dogtools.py").exists()
