"""What a demo has done and found, read back from where it is: the document that `--report` writes."""

import base64
from dataclasses import asdict
from typing import Any

from kennel import tuning
from kennel.local import deployment, prediction
from kennel.local.api import Airflow, Run
from kennel.local.aws import LocalAws
from kennel.registry import read_report

Document = dict[str, Any]


def collect(aws: LocalAws, api: Airflow, retrain: Run, deploy: Run | None) -> Document:
    """The report of one retraining and of the deployment after it; `deploy` is None when the model was held back.

    The prediction is made here: the evaluation's sample photo through the function's alias.
    """
    run = api.xcom(retrain.dag_id, retrain.run_id, "snapshot")["run"]
    s3 = aws.client("s3")
    evaluation, judged = (read_report(s3, aws.names, run, part) for part in ("evaluation", "report"))
    return {
        "retrain": _run(api, retrain),
        "page": judged["page"],
        "deploy": _run(api, deploy) if deploy else None,
        "tuning": _tuning(aws, run),
        "model": {
            "package_arn": api.xcom(retrain.dag_id, retrain.run_id, "register"),
            **{name: evaluation[name] for name in ("top1", "top5", "classes")},
            **{name: judged[name] for name in ("outcome", "why", "costs", "billable_seconds", "usd")},
        },
        "endpoint": deployment.endpoint(aws),
        "autoscaling": deployment.autoscaling(aws),
        "function": deployment.function(aws),
        "prediction": _prediction(aws, run, evaluation["samples"][0]),
        "airflow": {"url": api.url},
    }


def _run(api: Airflow, run: Run) -> Document:
    tasks = api.tasks(run.dag_id, run.run_id)
    return {
        "run_id": run.run_id,
        "state": run.state,
        "seconds": run.seconds,
        "tasks": [{"task_id": task.task_id, "state": task.state, "seconds": task.seconds} for task in tasks],
    }


def _tuning(aws: LocalAws, run: str) -> Document:
    sagemaker = aws.client("sagemaker")
    job = tuning.latest_job(sagemaker, run)
    if job is None:
        return {}
    best = tuning.best(sagemaker, job)
    return {
        "job_name": job,
        "trials": [
            {"name": trial.name, "status": trial.status, "objective": trial.objective}
            for trial in tuning.trials(sagemaker, job)
        ],
        "best": {"hyperparameters": best.hyperparameters, "objective": best.objective},
    }


def _prediction(aws: LocalAws, run: str, sample: Document) -> Document:
    key = aws.names.samples(run) + sample["photo"]
    photo = aws.client("s3").get_object(Bucket=aws.names.bucket, Key=key)["Body"].read()
    top = prediction.ask(aws, {"image": base64.b64encode(photo).decode()})
    return {
        "photo": sample["photo"],
        "expected": sample["label"],
        "label": top[0].label,
        "probability": top[0].probability,
        "top": [asdict(guess) for guess in top],
    }
