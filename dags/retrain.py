"""
# Retrain the classifier

Makes a model from the photos known up to the run's cutoff, judges it and registers it. A promoted model is an asset,
and its update starts `deploy`.

- `publish_code` puts `ml/` and the backbone's weights into the bucket, once per content.
- `snapshot` chooses the photos and writes their manifests. It **skips the run** when a registered model was made on
  SageMaker of the same photos, backbone and `ml/`. It fails when there are too few (put more under `datasets/`, or
  `kennel data push`), and when the run could cost more than `costs.max_cost`.
- `embed`, a processing job, turns photos into vectors, once for every run over the same photos with the same `ml/`.
  Unreadable photos are listed in its log.
- `tune`, a tuning job, trains a head on the vectors once per trial. No best trial: see whether a trial's log shows the
  objective.
- `train`, a training job, uses the best hyperparameters; its artifact serves by itself. With `train.finetune_epochs` it
  trains the backbone too, and the next attempt goes on from the last one's checkpoint.
- `evaluate`, a processing job, sends every test photo through the artifact's own `inference.py`, and through that of
  the champion: the model in service when the run began, else the newest approved one.
- `judge` **holds** a model below `evaluate.minimum_top1`, one that loses to the champion on the same photos by more
  than chance explains, and one that loses too much of a class. Its report, `runs/.../report/report.html` in the
  bucket, says why in plain words, how sure the model is and where it errs, and what the run cost.
- `register` makes a version in the model package group. Held models are registered too, so that the same photos are
  not trained on again.
- `ask` waits for a person when `approval` is `ask` and the model could be promoted: *Required Actions* in Airflow, with
  the report. Unanswered for six days it fails; clear it to ask again.
- `promote` marks the version Approved and announces it, or marks it Rejected and is **skipped**; the version's approval
  description says why.

**Cutoff.** The run's logical date, or now for a run without one: a backfill over past weeks trains on what was known
in each, and `deploy` only ever puts the model with the latest cutoff into service.
On SQLite pause this DAG while you create a backfill: Airflow's scheduler can trip over one that is half made.

**Failures.** A failed task says the job's own reason; the job's log is in CloudWatch under `/aws/sagemaker/...`. What
may pass by itself (throttling, no capacity) is retried, a refusal or a failing script is not. The failure topic hears
of it.

**Clearing** a task stops its job, and so does marking it failed. A retry adopts a job in progress, uses a completed
one, waits for one that is being stopped, and gives the successor of a failed or stopped one the name `...-r2`. Nothing
is started twice.

**Tasks that stay scheduled** wait for slots of the pool `sagemaker_jobs`: one for each of SageMaker's instances at
work. See *Admin, Pools* in Airflow; a pool that is not there has no slots.

**Overruling.** Approve a rejected version with `aws sagemaker update-model-package`, then trigger `deploy`.
"""

import datetime
from typing import Any

from airflow.sdk import DAG, Context, CronTriggerTimetable, Param

from kennel import costs, stages
from kennel.config import load
from kennel.defaults import rendered, task_defaults
from kennel.names import POOL
from kennel.operators.jobs import TrainingJobOperator, TuningJobOperator
from kennel.specs import jobs

CLASSIFIER = load("dogs")
POLL = CLASSIFIER.environment.poll_seconds


def bound(params: dict[str, Any]) -> list[costs.Planned]:
    return costs.planned(CLASSIFIER, params["max_jobs"], params["training_instance_type"])


def tune_config(context: Context) -> dict[str, Any]:
    params = context["params"]
    return jobs.tuning_job(
        CLASSIFIER,
        stages.data(context),
        max_jobs=params["max_jobs"],
        max_parallel_jobs=min(params["max_parallel_jobs"], params["max_jobs"]),
        instance_type=params["training_instance_type"],
    )


def train_config(context: Context) -> dict[str, Any]:
    best = context["ti"].xcom_pull(task_ids="tune")["Tuning"]["BestTrainingJob"]["TunedHyperParameters"]
    return jobs.training_job(CLASSIFIER, stages.data(context), best, context["params"]["training_instance_type"])


with DAG(
    dag_id="retrain",
    description="Photos to a registered model: snapshot, embed, tune, train, evaluate, judge, register, promote",
    doc_md=__doc__,
    # An Airflow that has not seen the DAG before makes up for a tick that it has just missed, and for no older one.
    schedule=CronTriggerTimetable(CLASSIFIER.schedule, timezone="UTC", run_immediately=datetime.timedelta(minutes=5)),
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(CLASSIFIER),
    tags=["kennel", CLASSIFIER.name],
    params={
        **stages.params(CLASSIFIER),
        "max_jobs": Param(
            CLASSIFIER.tune.max_jobs,
            type="integer",
            minimum=1,
            maximum=750,
            title="Trials",
            description="How many training jobs the tuner may run.",
        ),
        "max_parallel_jobs": Param(
            CLASSIFIER.tune.max_parallel_jobs,
            type="integer",
            minimum=1,
            maximum=CLASSIFIER.tune.max_parallel_jobs,
            title="Trials at once",
            description="More is faster; fewer lets the tuner learn from more finished trials.",
        ),
        "training_instance_type": Param(
            CLASSIFIER.train.instance_type,
            type="string",
            pattern=r"^ml\.[a-z0-9]+\.[a-z0-9]+$",
            title="Training instance type",
            description="What trials and the final training run on.",
            examples=["ml.m5.xlarge", "ml.c5.2xlarge"],
        ),
    },
) as dag:
    register, ask = stages.register(CLASSIFIER), stages.ask(CLASSIFIER)
    (
        [stages.publish_code(CLASSIFIER), stages.snapshot(CLASSIFIER, "sagemaker", bound)]
        >> stages.embed(CLASSIFIER)
        >> TuningJobOperator(
            task_id="tune",
            doc_md="Find the hyperparameters with the least objective on the validation photos.",
            config=rendered(tune_config),
            check_interval=POLL,
            pool=POOL,
            pool_slots=CLASSIFIER.tune.max_parallel_jobs,
        )
        >> TrainingJobOperator(
            task_id="train",
            doc_md="Train with the best hyperparameters; the artifact holds backbone, head and `inference.py`.",
            config=rendered(train_config),
            check_interval=POLL,
            pool=POOL,
            pool_slots=CLASSIFIER.train.instance_count,
        )
        >> stages.evaluate(CLASSIFIER)
        >> stages.judge(CLASSIFIER)
        >> register
        >> ask
    )
    [register, ask] >> stages.promote(CLASSIFIER)
