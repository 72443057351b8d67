"""How long each DAG file takes to parse, as a multiple of `from airflow.sdk import DAG` alone.

    make bench-dags

Processor seconds of fresh interpreters, medians over rounds in which each is measured once, so that a busy machine
slows both sides alike. Exits 1 when a file takes 1.5 times as long or more: what is imported at the top of a DAG file
is paid for at every parse and by every task.
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 7
LIMIT = 1.5
BASE = "from airflow.sdk import DAG"
LOAD = "import runpy, sys; runpy.run_path(sys.argv[1])"


def processor_seconds(home: str, code: str, *arguments: str) -> float:
    """The user and system seconds of one fresh interpreter."""
    environment = {
        "PATH": os.environ["PATH"],
        "AIRFLOW_HOME": home,
        "KENNEL_ACCOUNT_ID": "123456789012",
        "PYTHONPATH": str(ROOT / "plugins"),
    }
    before = os.times()
    subprocess.run([sys.executable, "-c", code, *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> int:
    """Measure, print a line for each, and say whether all are within the limit."""
    commands = {BASE: (BASE,), **{file.name: (LOAD, str(file)) for file in sorted((ROOT / "dags").glob("*.py"))}}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as home:
        for command in commands.values():
            processor_seconds(home, *command)  # fills the caches
        for _ in range(ROUNDS):
            for name, command in commands.items():
                seconds[name].append(processor_seconds(home, *command))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}, {ROUNDS} rounds")
    for name, median in medians.items():
        print(f"{median:6.2f} s  {median / medians[BASE]:5.2f}x  {name}")
    return int(max(medians.values()) >= LIMIT * medians[BASE])


if __name__ == "__main__":
    raise SystemExit(main())
