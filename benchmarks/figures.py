"""What a benchmark reports: figures with their goals, and the machine they were measured on."""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Figure:
    """One measured value.

    `measured` says as what; `limits` what keeps it from its goal, shown when the goal is missed; `detail` are the
    values it was made of. A figure without a goal is told and not judged.
    """

    name: str
    measured: str
    value: float
    unit: str
    goal: float | None = None
    better: Literal["more", "less"] = "less"
    limits: str = ""
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def reached(self) -> bool:
        """Whether the goal is reached; True without one."""
        if self.goal is None:
            return True
        return self.value >= self.goal if self.better == "more" else self.value <= self.goal


def machine() -> str:
    """The processor, its free cores, the load as it begins, the GPU of a benchmark that uses one, and the software."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    torch: Any = sys.modules.get("torch")
    gpu = f"one {torch.cuda.get_device_name()}, " if torch and torch.cuda.is_available() else ""
    return (
        f"{gpu}{len(os.sched_getaffinity(0))} cores of {name}, load {os.getloadavg()[0]:.1f} at the start, "
        f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}"
        f"{f', PyTorch {torch.__version__}' if torch else ''}"
    )


def main(measure: Callable[[], Iterator[Figure]]) -> None:
    """The command line of one benchmark: prints its figures as they come; `--json FILE` keeps them too.

    Exit status 1 when a goal is missed.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    run = {"date": datetime.now(UTC).isoformat(timespec="minutes"), "machine": machine()}
    print(run["machine"], flush=True)
    figures = []
    for figure in measure():
        print(line(asdict(figure), figure.reached), flush=True)
        figures.append({**asdict(figure), "reached": figure.reached})
    if options.json:
        options.json.write_text(json.dumps({**run, "figures": figures}, indent=1))
    sys.exit(int(not all(figure["reached"] for figure in figures)))


def processor_seconds(command: Sequence[str | Path], **options: Any) -> float:
    """The user and system seconds of a process and of those that it waited for. Raises CalledProcessError."""
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def line(figure: dict[str, Any], reached: bool) -> str:
    """A row of the printed table."""
    goal, mark = "", ""
    if figure["goal"] is not None:
        goal = f"at {'least' if figure['better'] == 'more' else 'most'} {figure['goal']:g}"
        mark = "reached" if reached else "missed"
    return f"{figure['value']:10.3f} {figure['unit']:<10} {goal:<15} {mark:<8} {figure['name']}"
