"""A job of each kind that sleeps until it is stopped, in DAGs that differ in what times out."""

import hashlib
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Context

from kennel.config import load
from kennel.defaults import rendered, task_defaults
from kennel.names import POOL, Names
from kennel.operators.jobs import ProcessingJobOperator, TrainingJobOperator, TuningJobOperator

CLASSIFIER = load("dogs")
AT = Names.of(CLASSIFIER)
LIMIT = {"MaxRuntimeInSeconds": 900}
TRAINING: dict[str, Any] = {
    "AlgorithmSpecification": {"TrainingImage": CLASSIFIER.images.training, "TrainingInputMode": "File"},
    "RoleArn": AT.role_arn("sagemaker"),
    "OutputDataConfig": {"S3OutputPath": AT.uri("runs/dogs/sleep/")},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": LIMIT,
}
SCRIPT = {"sagemaker_program": "sleep.py", "sagemaker_submit_directory": AT.uri("code/sleep/sourcedir.tar.gz")}


def name(context: Context, kind: str) -> str:
    return f"dogs-{kind}-{hashlib.sha256(str(context['run_id']).encode()).hexdigest()[:8]}"


def training(context: Context) -> dict[str, Any]:
    return {**TRAINING, "TrainingJobName": name(context, "train"), "HyperParameters": SCRIPT}


def tuning(context: Context) -> dict[str, Any]:
    metrics = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]
    algorithm = {**TRAINING["AlgorithmSpecification"], "MetricDefinitions": metrics}
    return {
        "HyperParameterTuningJobName": name(context, "tune"),
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0.1", "MaxValue": "1"}]},
        },
        "TrainingJobDefinition": {**TRAINING, "AlgorithmSpecification": algorithm, "StaticHyperParameters": SCRIPT},
    }


def processing(context: Context) -> dict[str, Any]:
    code = {"S3Uri": AT.uri("code/sleep/src/"), "LocalPath": "/opt/ml/processing/input/code"}
    return {
        "ProcessingJobName": name(context, "embed"),
        "AppSpecification": {
            "ImageUri": CLASSIFIER.images.training,
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/sleep.py"],
        },
        "RoleArn": AT.role_arn("sagemaker"),
        "ProcessingInputs": [
            {"InputName": "code", "S3Input": {**code, "S3DataType": "S3Prefix", "S3InputMode": "File"}}
        ],
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
        "StoppingCondition": LIMIT,
    }


def sleepers(dag_id: str, task: timedelta | None = None, run: timedelta | None = None) -> DAG:
    """The three jobs side by side, under a time limit for a task's work or for the run."""
    defaults = task_defaults(CLASSIFIER) | ({"execution_timeout": task, "retries": 0} if task else {})
    with DAG(dag_id, schedule=None, default_args=defaults, dagrun_timeout=run, max_active_runs=8) as dag:
        common: dict[str, Any] = {"check_interval": 1, "pool": POOL}
        ProcessingJobOperator(task_id="embed", config=rendered(processing), **common)
        TuningJobOperator(task_id="tune", config=rendered(tuning), **common)
        TrainingJobOperator(task_id="train", config=rendered(training), **common)
    return dag


patient = sleepers("sleepers")
short_task = sleepers("sleepers_with_a_short_task", task=timedelta(seconds=20))
short_run = sleepers("sleepers_with_a_short_run", run=timedelta(seconds=40))
