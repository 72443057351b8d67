"""How long each DAG file takes to parse, beside the import of the provider's operators that it uses.

    python -m benchmarks.dag_parse

Processor seconds of fresh interpreters, medians over rounds in which each is measured once, so that a busy machine
slows both sides alike. Which operators a file uses is read off its tasks: the modules of the Airflow providers that
their classes and their notifiers', or what these derive from, come from. What is imported at the top of a DAG file is
paid for at every parse and by every task.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, main, processor_seconds
from benchmarks.photos import ROOT

ROUNDS = 7
LOAD = "import runpy, sys; runpy.run_path(sys.argv[1])"
SDK = "from airflow.sdk import DAG"
OPERATORS = """
import json, runpy, sys
from airflow.sdk import DAG
dags = [value for value in runpy.run_path(sys.argv[1]).values() if isinstance(value, DAG)]
parts = [part for dag in dags for task in dag.tasks for part in (task, *(task.on_failure_callback or ()))]
classes = {base for part in parts for base in type(part).__mro__}
modules = {base.__module__ for base in classes if base.__module__.startswith("airflow.providers")}
print(json.dumps(sorted(modules)), file=sys.stderr)
"""


def environment(home: str) -> dict[str, str]:
    """What a DAG file needs to be read."""
    return {
        "PATH": os.environ["PATH"],
        "AIRFLOW_HOME": home,
        "KENNEL_ACCOUNT_ID": "123456789012",
        "PYTHONPATH": str(ROOT / "plugins"),
    }


def operators(file: Path, home: str) -> str:
    """The code that imports the provider's modules that a file's tasks are made of."""
    command = [sys.executable, "-c", OPERATORS, str(file)]
    done = subprocess.run(command, env=environment(home), check=True, capture_output=True, text=True)
    return "\n".join([SDK, *(f"import {module}" for module in json.loads(done.stderr.splitlines()[-1]))])


def measure() -> Iterator[Figure]:
    """A figure a file, the rounds taken together."""
    with tempfile.TemporaryDirectory() as home:
        commands: dict[str, tuple[str, ...]] = {SDK: (SDK,)}
        for file in sorted((ROOT / "dags").glob("*.py")):
            commands[file.name] = (LOAD, str(file))
            commands[f"operators of {file.name}"] = (operators(file, home),)
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                seconds[name].append(processor_seconds([sys.executable, "-c", *command], env=environment(home)))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name in (name for name in commands if name.endswith(".py") and not name.startswith("operators")):
        imports = medians[f"operators of {name}"]
        yield Figure(
            f"DAG parse, {name}",
            "processor seconds to parse, over importing the provider's operators that its tasks are made of",
            medians[name] / imports,
            "times",
            1.15,
            detail={"file, s": medians[name], "operators, s": imports, f"{SDK}, s": medians[SDK]},
        )


if __name__ == "__main__":
    main(measure)
