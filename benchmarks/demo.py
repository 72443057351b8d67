"""How long the whole path takes from nothing, and what orchestrating it adds to the jobs' own time.

    python -m benchmarks.demo

`kennel demo` twice, each in a directory of its own: as it is, and on as many drawn photos as a small team has, with
which jobs do not end in a second. A job's time is what SageMaker tells, from its creation to its end, the endpoint's
from its creation to its being in service. The jobs follow each other, so that their sum is the critical path; the wall
time is that from the start of Airflow's run of `retrain` to the end of that of `deploy`.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, main
from benchmarks.photos import ML, ROOT
from kennel.local.api import Airflow
from kennel.local.aws import LocalAws
from kennel.local.state import Home

DRAWN = ("--breeds", "25", "--train", "60", "--valid", "12", "--test", "12")
KENNEL = (sys.executable, "-m", "kennel.cli")


def job_seconds(sagemaker: Any, endpoint: str) -> dict[str, float]:
    """The seconds of every job of the one run that there was, and of the endpoint's creation."""
    seconds = {}
    for job in sagemaker.list_processing_jobs()["ProcessingJobSummaries"]:
        stage = "evaluate" if job["ProcessingJobName"].endswith("-evaluate") else "embed"
        seconds[stage] = (job["ProcessingEndTime"] - job["CreationTime"]).total_seconds()
    [tuning] = sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    seconds["tune"] = (tuning["HyperParameterTuningEndTime"] - tuning["CreationTime"]).total_seconds()
    [training] = sagemaker.list_training_jobs(NameContains="-train")["TrainingJobSummaries"]
    seconds["train"] = (training["TrainingEndTime"] - training["CreationTime"]).total_seconds()
    described = sagemaker.describe_endpoint(EndpointName=endpoint)
    seconds["endpoint"] = (described["LastModifiedTime"] - described["CreationTime"]).total_seconds()
    return seconds


def wall_seconds(airflow: Airflow, report: dict[str, Any]) -> float:
    """From the start of the run of retrain to the end of that of deploy."""
    retrain, deploy = (airflow.get(f"/dags/{dag}/dagRuns/{report[dag]['run_id']}") for dag in ("retrain", "deploy"))
    times = (datetime.fromisoformat(deploy["end_date"]), datetime.fromisoformat(retrain["start_date"]))
    return (times[0] - times[1]).total_seconds()


@contextlib.contextmanager
def demo(*arguments: str) -> Iterator[tuple[dict[str, Any], Home]]:
    """The report of a demo from nothing, and where it runs on until the end."""
    with tempfile.TemporaryDirectory() as name:
        home, file = Home(Path(name) / "kennel"), Path(name) / "report.json"
        started: dict[str, Any] = {"env": {**os.environ, "KENNEL_HOME": str(home.path)}, "cwd": ROOT, "check": True}
        try:
            subprocess.run([*KENNEL, "demo", "--report", str(file), *arguments], stdout=subprocess.DEVNULL, **started)
            yield json.loads(file.read_text()), home
        finally:
            subprocess.run([*KENNEL, "down"], stdout=subprocess.DEVNULL, **started)


def measure() -> Iterator[Figure]:
    """Both demos."""
    with demo() as (report, _):
        yield Figure(
            "demo",
            "kennel demo with 8 trials on drawn photos, its start and its photos included",
            report["seconds"],
            "s",
            120,
            detail={f"{dag}, s": report[dag]["seconds"] for dag in ("retrain", "deploy")},
        )
    with tempfile.TemporaryDirectory() as photos:
        command = [sys.executable, str(ML / "sketch.py"), photos, *DRAWN]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with demo("--data", photos) as (report, home):
            aws = LocalAws.running(home)
            jobs = job_seconds(aws.client("sagemaker"), report["endpoint"]["name"])
            wall = wall_seconds(Airflow.running(home), report)
    yield Figure(
        "orchestration",
        "wall time of the runs of retrain and deploy on 2,100 photos over the sum of their jobs' times",
        wall / sum(jobs.values()),
        "times",
        1.3,
        limits="What Airflow adds for its tasks does not grow with the jobs; on AWS they last minutes.",
        detail={"wall, s": wall, "jobs, s": jobs},
    )


if __name__ == "__main__":
    main(measure)
