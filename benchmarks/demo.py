"""How long the whole path takes from nothing, and what orchestrating it adds to the jobs' own time.

    python -m benchmarks.demo

`kennel demo` on the drawn photos, in a directory of its own. A job's time is what SageMaker tells, from its creation to
its end, the endpoint's from its creation to its being in service. The jobs follow each other, so that their sum is the
critical path; the wall time is that from the start of Airflow's run of `retrain` to the end of that of `deploy`.
"""

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
from benchmarks.photos import ROOT
from kennel.local.api import Airflow
from kennel.local.aws import LocalAws
from kennel.local.state import Home

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


def measure() -> Iterator[Figure]:
    """One demo."""
    with tempfile.TemporaryDirectory() as name:
        home, file = Home(Path(name) / "kennel"), Path(name) / "report.json"
        environment = {**os.environ, "KENNEL_HOME": str(home.path)}
        try:
            subprocess.run(
                [*KENNEL, "demo", "--report", str(file)],
                env=environment,
                cwd=ROOT,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            report = json.loads(file.read_text())
            aws = LocalAws.running(home)
            jobs = job_seconds(aws.client("sagemaker"), report["endpoint"]["name"])
            wall = wall_seconds(Airflow.running(home), report)
        finally:
            subprocess.run([*KENNEL, "down"], env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    yield Figure(
        "demo",
        "kennel demo with 8 trials on drawn photos, its start and its photos included",
        report["seconds"],
        "s",
        120,
        detail={dag: report[dag]["seconds"] for dag in ("retrain", "deploy")},
    )
    yield Figure(
        "orchestration",
        "wall time of the runs of retrain and deploy over the sum of their jobs' times",
        wall / sum(jobs.values()),
        "times",
        1.3,
        detail={"wall, s": wall, "jobs, s": jobs},
        limits="The demo's jobs last seconds. What Airflow adds for its tasks and their deferrals does not grow with "
        "them, and jobs on AWS last minutes.",
    )


if __name__ == "__main__":
    main(measure)
