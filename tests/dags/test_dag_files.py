"""What every DAG file owes to Airflow: light to import, and each task documented and bounded."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kennel.config import ROOT

FILES = sorted((ROOT / "dags").glob("*.py"))
HEAVY = {"torch", "torchvision", "sagemaker", "pandas", "numpy", "matplotlib"}

LOAD = "import runpy, sys; namespace = runpy.run_path(sys.argv[1]);"


def run(code: str, *arguments: str, home: Path) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "AIRFLOW_HOME": str(home),
        "KENNEL_ACCOUNT_ID": "123456789012",
        "PYTHONPATH": str(ROOT / "plugins"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_imports_nothing_heavy(file: Path, home: Path) -> None:
    modules = run(LOAD + "print(*sys.modules)", str(file), home=home).split()
    assert not HEAVY & {module.partition(".")[0] for module in modules}


DESCRIBE = """
import json
dag = namespace["dag"]
print(json.dumps({task.task_id: {
    "doc": task.doc_md or "", "retries": task.retries, "backoff": bool(task.retry_exponential_backoff),
    "timeout": task.execution_timeout.total_seconds() if task.execution_timeout else None,
    "announced": bool(task.on_failure_callback), "policy": bool(task.retry_policy),
} for task in dag.tasks}))
"""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_task_is_documented_retried_bounded_and_announced(file: Path, home: Path) -> None:
    tasks: dict[str, dict[str, Any]] = json.loads(run(LOAD + DESCRIBE, str(file), home=home).splitlines()[-1])
    for name, task in tasks.items():
        assert len(task["doc"]) > 20, name
        assert task["retries"] >= 1 and task["backoff"] and task["policy"], name
        longest = timedelta(hours=2 if name == "delete_resources" else 1)  # it waits for an endpoint that is updating
        assert task["timeout"] and task["timeout"] <= longest.total_seconds(), name
        assert task["announced"], name


PARAMS = """
import json
dag = namespace["dag"]
print(json.dumps({name: dag.params.get_param(name).schema | {"description": dag.params.get_param(name).description}
                  for name in dag.params}))
"""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_param_has_a_type_a_title_and_a_description(file: Path, home: Path) -> None:
    params: dict[str, dict[str, Any]] = json.loads(run(LOAD + PARAMS, str(file), home=home).splitlines()[-1])
    for name, schema in params.items():
        assert schema["type"] and schema["title"] and schema["description"], name
        if schema["type"] == "integer":
            assert schema["minimum"] <= schema["maximum"], name
