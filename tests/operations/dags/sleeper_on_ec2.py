"""A training on EC2 that sleeps until it is stopped, under a time limit for the run or for none."""

import hashlib
from datetime import timedelta

from airflow.sdk import DAG, Context

from kennel.config import load
from kennel.defaults import rendered, task_defaults
from kennel.operators.ec2 import TrainOnEc2Operator
from kennel.specs.ec2 import Training

CLASSIFIER = load("dogs")


def training(context: Context) -> Training:
    run = f"dogs-{hashlib.sha256(str(context['run_id']).encode()).hexdigest()[:8]}"
    return Training(CLASSIFIER, run, "m5.xlarge", "code/sleep-on-ec2/sourcedir.tar.gz", {}, {})


def sleeper(dag_id: str, run: timedelta | None = None) -> DAG:
    """One training."""
    with DAG(
        dag_id, schedule=None, default_args=task_defaults(CLASSIFIER), dagrun_timeout=run, max_active_runs=4
    ) as dag:
        TrainOnEc2Operator(task_id="train", training=rendered(training), market="on-demand", check_interval=1)
    return dag


patient = sleeper("sleeper_on_ec2")
short = sleeper("sleeper_on_ec2_with_a_short_run", run=timedelta(seconds=40))
