"""
# Retrain the classifier

Makes a model from the photos known up to the run's cutoff and registers it. The registered model is an asset, and its
update starts `deploy`.

- `publish_code` puts `ml/` and the backbone's weights into the bucket, once per content.
- `snapshot` chooses the photos and writes their manifests. It **skips the run** when a registered model was made of the
  same photos, backbone and `ml/`. It fails when there are too few: put more under `datasets/`, or `kennel data push`.
- `embed`, a processing job, turns photos into vectors, once for every run over the same photos with the same `ml/`.
  Unreadable photos are listed in its log.
- `tune`, a tuning job, trains a head on the vectors once per trial. No best trial: see whether a trial's log shows the
  objective.
- `train`, a training job, uses the best hyperparameters; its artifact serves by itself.
- `evaluate`, a processing job, sends every test photo through the artifact's own `inference.py`.
- `judge` compares the report with the least top-1 and the champion. It **skips `register`** to hold a model back.
- `register` makes a version in the model package group: approved, or pending when `approval` is `manual`.

**Cutoff.** The run's logical date, or now for a run without one: a backfill over past weeks trains on what was known
in each.

**Failures.** A failed task says the job's own reason; the job's log is in CloudWatch under `/aws/sagemaker/...`. What
may pass by itself (throttling, no capacity) is retried, a refusal or a failing script is not. The failure topic hears
of it.

**Clearing** a task stops its job. A retry adopts a job in progress, uses a completed one, and gives the successor of a
failed or stopped one the name `...-r2`. Nothing is started twice.

**A pending model** is approved in the SageMaker console or with `aws sagemaker update-model-package`; then trigger
`deploy`.
"""

import datetime
from typing import Any

from airflow.sdk import DAG, Asset, Context, CronTriggerTimetable, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from kennel import registry
from kennel.config import ROOT, load
from kennel.defaults import rendered, task_defaults
from kennel.names import Names
from kennel.operators.hosting import RegisterModelOperator
from kennel.operators.jobs import ProcessingJobOperator, TrainingJobOperator, TuningJobOperator
from kennel.specs import jobs, serving

CLASSIFIER = load("dogs")
AT = Names.of(CLASSIFIER)
MODEL = Asset(f"{CLASSIFIER.name}-model")
POLL = CLASSIFIER.environment.poll_seconds


def data(context: Context) -> jobs.Data:
    """What this run works on, as its first two tasks found it."""
    chosen = context["ti"].xcom_pull(task_ids="snapshot")
    return jobs.Data(chosen["run"], chosen["version"], context["ti"].xcom_pull(task_ids="publish_code"))


def client(service: str) -> Any:
    """A boto3 client by the connection `aws_default`."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

    return AwsBaseHook(client_type=service, region_name=CLASSIFIER.region).conn


def embed_config(context: Context) -> dict[str, Any]:
    return jobs.embed_job(CLASSIFIER, data(context))


def tune_config(context: Context) -> dict[str, Any]:
    params = context["params"]
    return jobs.tuning_job(
        CLASSIFIER,
        data(context),
        max_jobs=params["max_jobs"],
        max_parallel_jobs=min(params["max_parallel_jobs"], params["max_jobs"]),
        instance_type=params["training_instance_type"],
    )


def train_config(context: Context) -> dict[str, Any]:
    best = context["ti"].xcom_pull(task_ids="tune")["Tuning"]["BestTrainingJob"]["TunedHyperParameters"]
    return jobs.training_job(CLASSIFIER, data(context), best, context["params"]["training_instance_type"])


def model_data(context: Context) -> str:
    return str(context["ti"].xcom_pull(task_ids="train")["Training"]["ModelArtifacts"]["S3ModelArtifacts"])


def evaluate_config(context: Context) -> dict[str, Any]:
    return jobs.evaluate_job(CLASSIFIER, data(context), model_data(context))


def package_extras(context: Context) -> dict[str, Any]:
    return serving.model_package(CLASSIFIER, model_data(context), context["ti"].xcom_pull(task_ids="judge"))


def approval(context: Context) -> Any:
    from airflow.providers.amazon.aws.utils.sagemaker import ApprovalStatus

    return (
        ApprovalStatus.PENDING_MANUAL_APPROVAL if context["params"]["approval"] == "manual" else ApprovalStatus.APPROVED
    )


def announce(context: Context, package_arn: str) -> None:
    """Tell `deploy` which model this is."""
    context["outlet_events"][MODEL].extra = {"package_arn": package_arn}


@task
def publish_code() -> str:
    """Put `ml/` and the backbone's weights into the bucket, once per content. XCom is the digest in the code's keys."""
    from kennel import code

    backbone = CLASSIFIER.embed.backbone
    s3 = client("s3")
    try:
        code.publish_weights(s3, AT.bucket, backbone, CLASSIFIER.backbones[backbone])
    except code.WeightsError as error:
        raise AirflowFailException(str(error)) from error
    return code.publish_code(s3, AT.bucket, ROOT / "ml")


@task
def snapshot() -> dict[str, Any]:
    """Choose the photos up to the cutoff and write their manifests; skip when a model was made of the same."""
    from kennel import code
    from kennel import snapshot as snapshots

    context = get_current_context()
    dag_run, params = context["dag_run"], context["params"]
    cutoff = dag_run.logical_date or dag_run.run_after
    if params["cutoff"]:
        cutoff = datetime.datetime.fromisoformat(params["cutoff"]).astimezone(datetime.UTC)
    s3 = client("s3")
    try:
        chosen = snapshots.choose(snapshots.listed(s3, AT), cutoff.date())
    except snapshots.SnapshotError as error:
        raise AirflowFailException(str(error)) from error
    made_of = {"snapshot": chosen.version, "backbone": CLASSIFIER.embed.backbone, "code": code.digest(ROOT / "ml")}
    same = registry.made_of(registry.packages(client("sagemaker"), AT.package_group), made_of)
    if same and not params["force"]:
        raise AirflowSkipException(
            f"The photos up to {cutoff:%Y-%m-%d} and the code are those of {same.run} (snapshot {chosen.version}); "
            "trigger with force to train again"
        )
    snapshots.write(s3, AT, chosen)
    run = AT.run(dag_run.logical_date or dag_run.run_after, dag_run.run_id)
    return {"run": run, "cutoff": cutoff.isoformat(), "made_of": made_of, **chosen.summary()}


@task
def judge() -> dict[str, str]:
    """Hold the model back, or pass on what is written down of it in the registry."""
    context = get_current_context()
    chosen = context["ti"].xcom_pull(task_ids="snapshot")
    report = registry.read_report(client("s3"), AT, chosen["run"])
    approved = registry.packages(client("sagemaker"), AT.package_group, ModelApprovalStatus="Approved")
    objection = registry.objection(report, chosen["version"], registry.newest(approved), CLASSIFIER.evaluate)
    if objection:
        raise AirflowSkipException(f"Held back: {objection}")
    return {
        "run": chosen["run"],
        "cutoff": chosen["cutoff"],
        **chosen["made_of"],
        "classes": str(report["classes"]),
        "top1": f"{report['top1']:.4f}",
        "top5": f"{report['top5']:.4f}",
    }


with DAG(
    dag_id="retrain",
    description="Photos to a registered model: snapshot, embed, tune, train, evaluate, judge, register",
    doc_md=__doc__,
    # An Airflow that has not seen the DAG before makes up for a tick that it has just missed, and for no older one.
    schedule=CronTriggerTimetable(CLASSIFIER.schedule, timezone="UTC", run_immediately=datetime.timedelta(minutes=5)),
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(CLASSIFIER),
    tags=["kennel", CLASSIFIER.name],
    params={
        "cutoff": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Cutoff",
            description="Train on photos dated up to this day. Empty: the run's logical date, or now.",
        ),
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
            maximum=100,
            title="Trials at once",
            description="More is faster; fewer lets the tuner learn from more finished trials.",
        ),
        "force": Param(
            False,
            type="boolean",
            title="Force",
            description="Train even when a registered model was made of the same photos and code.",
        ),
        "training_instance_type": Param(
            CLASSIFIER.train.instance_type,
            type="string",
            pattern=r"^ml\.[a-z0-9]+\.[a-z0-9]+$",
            title="Training instance type",
            description="What trials and the final training run on.",
            examples=["ml.m5.xlarge", "ml.c5.2xlarge"],
        ),
        "approval": Param(
            "automatic",
            type="string",
            enum=["automatic", "manual"],
            title="Approval",
            description="manual: the model waits in the registry until a person approves it and triggers deploy.",
        ),
    },
) as dag:
    register = RegisterModelOperator(
        task_id="register",
        doc_md="Register the run's model once; the asset's update starts `deploy`.",
        image_uri=CLASSIFIER.images.inference,
        model_url="{{ ti.xcom_pull(task_ids='train')['Training']['ModelArtifacts']['S3ModelArtifacts'] }}",
        package_group_name=AT.package_group,
        package_desc=f"{CLASSIFIER.name}, trained by Kennel",
        model_approval=rendered(approval),
        extras=rendered(package_extras),
        outlets=[MODEL],
        post_execute=announce,
    )
    (
        [publish_code(), snapshot()]
        >> ProcessingJobOperator(
            task_id="embed",
            doc_md="The frozen backbone sees each photo once per snapshot; every trial then trains on vectors.",
            config=rendered(embed_config),
            check_interval=POLL,
        )
        >> TuningJobOperator(
            task_id="tune",
            doc_md="Find the hyperparameters with the least objective on the validation photos.",
            config=rendered(tune_config),
            check_interval=POLL,
        )
        >> TrainingJobOperator(
            task_id="train",
            doc_md="Train with the best hyperparameters; the artifact holds backbone, head and `inference.py`.",
            config=rendered(train_config),
            check_interval=POLL,
        )
        >> ProcessingJobOperator(
            task_id="evaluate",
            doc_md="Ask the artifact about every test photo, by the code that will serve it.",
            config=rendered(evaluate_config),
            check_interval=POLL,
        )
        >> judge()
        >> register
    )
