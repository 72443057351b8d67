"""The whole path on this machine: photos in, Airflow's two DAGs followed to their end, a photo named at last."""

import datetime
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from kennel import tuning
from kennel.config import ROOT
from kennel.local import datasets, deployment, report, services
from kennel.local.api import Airflow, Run, Task
from kennel.local.aws import LocalAws
from kennel.local.errors import KennelError, RunFailedError
from kennel.local.progress import Progress
from kennel.local.state import Home

BREEDS = 12
FIRST_DAY = datetime.date(2026, 1, 1)
Document = dict[str, Any]
ASSET_SECONDS = 60
# Between states, or but a consequence of another task's.
QUIET = {"scheduled", "queued", "upstream_failed"}
TURN = "the run before it"
LOG_LINES = 12


def run(home: Home, data: Path | None, console: Console) -> tuple[Document, Path]:
    """Everything from start to the prediction. Returns the report, and the directory of the photos.

    Raises KennelError for a data directory that cannot be used, before anything is started, and for photos of a
    person's that the drawn ones would replace; RunFailedError when a task fails.
    """
    started = time.monotonic()
    photos = datasets.check(data) if data else None
    with Progress(console) as progress:
        aws = services.start(home, progress)
        if photos is None:
            photos = datasets.check(sketch(home, progress))
            keep_own(aws, photos)
        push(aws, photos, progress)
        api = services.wait_for_airflow(home, progress)
        retrain = follow(api, aws, start_retraining(api, aws), progress)
        deploy = find_deploy(api, aws, retrain)
        if deploy:
            deploy = follow(api, aws, deploy, progress)
        document = report.collect(aws, api, retrain, deploy)
        bucket, _, key = document["page"].removeprefix("s3://").partition("/")
        aws.client("s3").download_file(bucket, key, str(home.report))
    return {**document, "seconds": round(time.monotonic() - started, 1)}, photos.root


def sketch(home: Home, progress: Progress) -> Path:
    """The drawn data set, made once."""
    directory = home.data / "sketch"
    if directory.exists():
        return directory
    progress.show("start", "draw photos", "running", f"{BREEDS} breeds")
    scratch = home.data / "sketch.new"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    command = [sys.executable, str(ROOT / "ml" / "sketch.py"), str(scratch), "--breeds", str(BREEDS)]
    drawn = subprocess.run(command, capture_output=True, text=True, check=False)
    if drawn.returncode:
        raise RunFailedError(f"The photos could not be drawn: {drawn.stderr.strip().splitlines()[-1]}")
    scratch.rename(directory)
    progress.show("start", "draw photos", "done", str(directory))
    return directory


def keep_own(aws: LocalAws, drawn: datasets.Photos) -> None:
    """Raise KennelError when the last demo's photos are not the drawn ones: a person chose them, and they would go."""
    own = datasets.others(aws.client("s3"), aws.names.bucket, datasets.prefix(aws.names.datasets, FIRST_DAY), drawn)
    if own:
        raise KennelError(
            f"{len(own)} photos of yours are there, which the drawn ones would replace, so nothing was trained: "
            f'"kennel demo --data DIR" goes on with yours, "kennel demo --data {drawn.root}" takes the drawn ones.'
        )


def push(aws: LocalAws, photos: datasets.Photos, progress: Progress) -> None:
    """Make these the demo's photos, in place of what an earlier demo had.

    They are dated to a day long ago, so that a backfill over any week since finds them.
    """
    prefix = datasets.prefix(aws.names.datasets, FIRST_DAY)
    advance = progress.counter("start", "push photos", len(photos.files))
    pushed = datasets.push(aws.client("s3"), aws.names.bucket, prefix, photos, mirror=True, advance=advance)
    progress.show("start", "push photos", "done", f"{len(photos.classes)} breeds: {pushed}")


def start_retraining(api: Airflow, aws: LocalAws) -> Run:
    """Trigger `retrain` with the classifier's own number of trials; `force`, since a demo's photos may be known."""
    tune = aws.classifier.tune
    conf = {"force": True, "max_jobs": tune.max_jobs, "max_parallel_jobs": tune.max_parallel_jobs}
    return api.run("retrain", api.trigger("retrain", conf))


def follow(api: Airflow, aws: LocalAws, run: Run, progress: Progress) -> Run:
    """Show each task and trial of a run as it goes, until the run has ended.

    Raises RunFailedError for a failed run, with the last lines of the failed task's log.
    """
    while True:
        # the run first: when it has ended, the tasks read after it are final
        run = api.run(run.dag_id, run.run_id)
        tasks = api.tasks(run.dag_id, run.run_id)
        show_turn(api, run, progress)
        for task in tasks:
            if task.state not in QUIET:
                progress.show(run.dag_id, task.task_id, task.state, seconds=task.seconds)
            if task.task_id == "tune" and task.state in {"running", "deferred", "success"}:
                show_trials(api, aws, run, progress)
        if run.state == "failed":
            raise RunFailedError(why(api, run, tasks))
        if run.done:
            return run
        time.sleep(1)


def show_turn(api: Airflow, run: Run, progress: Progress) -> None:
    """Show what a run waits for that may not begin yet: one of a DAG's runs is at work at a time."""
    before = api.last_run(run.dag_id, "running") if run.state == "queued" else None
    if before and before.run_id != run.run_id:
        progress.show(run.dag_id, TURN, "waiting", api.link(before))
    elif (run.dag_id, TURN) in progress.rows:
        progress.show(run.dag_id, TURN, "done")


def show_trials(api: Airflow, aws: LocalAws, run: Run, progress: Progress) -> None:
    """Show the trials of a run's tuning job with their scores."""
    sagemaker = aws.client("sagemaker")
    job = tuning.latest_job(sagemaker, api.xcom(run.dag_id, run.run_id, "snapshot")["run"])
    for trial in tuning.trials(sagemaker, job) if job else []:
        note = tuning.readable(trial.hyperparameters)
        if trial.objective is not None:
            note = f"{aws.classifier.tune.objective} {trial.objective:.4f}  {note}"
        progress.show("trial", trial.name.removeprefix(f"{job}-"), trial.status, note)


def why(api: Airflow, run: Run, tasks: list[Task]) -> str:
    """What a person needs of a failed run: which task, the end of its log, and where the rest is.

    The last that has failed: what cleans up after another one's failure knows both.
    """
    for task in reversed(tasks):
        if task.state == "failed":
            name = f"{run.dag_id}.{task.task_id}"
            errors = api.log(run.dag_id, run.run_id, task.task_id, task.attempt, errors=True)[-LOG_LINES:]
            log = "".join(f"{line}\n" for line in errors)
            return f'{log}{name} failed; see all of its log with "kennel logs {name}".'
    return f"{run.dag_id} failed without a failed task; see {api.url}/dags/{run.dag_id}/runs/{run.run_id}"


def find_deploy(api: Airflow, aws: LocalAws, retrain: Run) -> Run | None:
    """The run of `deploy` that the registered model starts; None when the model was held back and another one serves.

    Raises RunFailedError when none serves, and when the run does not start within a minute.
    """
    states = {task.task_id: task.state for task in api.tasks(retrain.dag_id, retrain.run_id)}
    if states.get("promote") != "success":
        if deployment.function(aws) is None:
            raise RunFailedError(
                'The model was held back and none is in service: "kennel logs retrain.promote" says why.'
            )
        return None
    deadline = time.monotonic() + ASSET_SECONDS
    while time.monotonic() < deadline:
        found = api.triggered_run(retrain.dag_id, retrain.run_id)
        if found:
            return found
        time.sleep(0.5)
    raise RunFailedError(f"The registered model has not started deploy; see {api.url}/dags/deploy")
