"""Runs the benchmarks and writes what they found.

    make bench                                    all of them, about an hour on two free cores
    python -m benchmarks endpoint function        some; what is known of the others stays

Each is a process of its own, `python -m benchmarks.NAME`, and can be run so alone. The figures go to
`docs/performance.json`, and `docs/performance.md` is written from that. Exit status 1 when a benchmark failed; a goal
that is missed is told and no failure.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.chart import draw
from benchmarks.page import page

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs/performance.json"
PAGE = ROOT / "docs/performance.md"
CHART = ROOT / "docs/load.svg"
BENCHMARKS = (
    "tuning",
    "accuracy",
    "embedding",
    "sharding",
    "demo",
    "dag_parse",
    "function",
    "endpoint",
    "localaws",
    "load",
)
ON_A_GPU = "finetune"


def main() -> int:
    """Run, keep, print."""
    parser = argparse.ArgumentParser(description="Measures Kennel.")
    there_are = f"{', '.join(BENCHMARKS)}, and on a GPU {ON_A_GPU}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {there_are}; all but that when none is given")
    names = parser.parse_args().names or BENCHMARKS
    if unknown := set(names) - {*BENCHMARKS, ON_A_GPU}:
        parser.exit(2, f"no benchmark is called {', '.join(sorted(unknown))}: there are {there_are}\n")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    failed = []
    for name in names:
        print(f"\n{name}", flush=True)
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [sys.executable, "-m", f"benchmarks.{name}", "--json", file.name]
            subprocess.run(command, cwd=ROOT, check=False)  # it has its say about missed goals
            figures = Path(file.name).read_text()
        if not figures:
            failed.append(name)
            continue
        results[name] = json.loads(figures)
        RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n")
        PAGE.write_text(page(json.loads(RESULTS.read_text())))
        if name == "load":
            draw(results[name]["figures"], CHART)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
