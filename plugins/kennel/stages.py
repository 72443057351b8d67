"""The stages that every way of retraining shares: photos in, a judged and registered model out.

Each function makes one Airflow task of the DAG in whose context it is called; what tasks tell each other goes by their
ids, which are the functions' names.
"""

import datetime
from typing import Any, Literal

from airflow.sdk import Asset, Context, Param, TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from kennel import registry
from kennel.aws import client
from kennel.config import ROOT, Classifier
from kennel.defaults import rendered
from kennel.names import POOL, Names
from kennel.operators.approval import AskOperator
from kennel.operators.hosting import RegisterModelOperator
from kennel.operators.jobs import ProcessingJobOperator
from kennel.specs import jobs, serving

Compute = Literal["sagemaker", "ec2"]


def model_asset(classifier: Classifier) -> Asset:
    """The asset that a promoted model updates, and that starts `deploy`."""
    return Asset(f"{classifier.name}-model")


def params(classifier: Classifier) -> dict[str, Param]:
    """The params of a run that these stages read. Whoever starts one may have a person asked, but not pass one over."""
    asks = classifier.evaluate.approval == "ask"
    return {
        "cutoff": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Cutoff",
            description="Train on photos dated up to this day. Empty: the run's logical date, or now.",
        ),
        "force": Param(
            False,
            type="boolean",
            title="Force",
            description="Train even when a registered model was made of the same photos and code.",
        ),
        "approval": Param(
            classifier.evaluate.approval,
            type="string",
            enum=["ask"] if asks else ["auto", "ask"],
            title="Approval",
            description="ask: a person decides about a model that could be promoted, on its task in Airflow.",
        ),
    }


def data(context: Context) -> jobs.Data:
    """What this run works on, as its first two tasks found it."""
    chosen = context["ti"].xcom_pull(task_ids="snapshot")
    return jobs.Data(chosen["run"], chosen["version"], context["ti"].xcom_pull(task_ids="publish_code"))


def publish_code(classifier: Classifier) -> Any:
    """Put `ml/` and the backbone's weights into the bucket, once per content. XCom is the digest in the code's keys."""

    @task(task_id="publish_code", doc_md=publish_code.__doc__)
    def publish() -> str:
        from kennel import code

        backbone, bucket = classifier.embed.backbone, Names.of(classifier).bucket
        s3 = client(classifier, "s3")
        try:
            code.publish_weights(s3, bucket, backbone, classifier.backbones[backbone])
        except code.WeightsError as error:
            raise AirflowFailException(str(error)) from error
        return code.publish_code(s3, bucket, ROOT / "ml")

    return publish()


def snapshot(classifier: Classifier, compute: Compute, bound: Any) -> Any:
    """Choose the photos up to the cutoff and write their manifests; skip when a model was made of the same.

    Fails before anything is started when the run could cost more than `max_cost`; `bound` gives that from the run's
    params. XCom is the run's name, its cutoff, what the model is made of, the champion and the snapshot's summary.
    """

    @task(task_id="snapshot", doc_md=snapshot.__doc__)
    def choose() -> dict[str, Any]:
        from kennel import costs

        context = get_current_context()
        try:
            costs.check(bound(context["params"]), classifier.costs)
        except costs.CostError as error:
            raise AirflowFailException(str(error)) from error
        return _snapshot(classifier, compute, context)

    return choose()


def _snapshot(classifier: Classifier, compute: Compute, context: Context) -> dict[str, Any]:
    from kennel import code
    from kennel import snapshot as snapshots

    at, dag_run, options = Names.of(classifier), context["dag_run"], context["params"]
    cutoff = dag_run.logical_date or dag_run.run_after
    if options["cutoff"]:
        cutoff = datetime.datetime.fromisoformat(options["cutoff"]).astimezone(datetime.UTC)
    s3, sagemaker = client(classifier, "s3"), client(classifier, "sagemaker")
    try:
        chosen = snapshots.choose(snapshots.listed(s3, at), cutoff.date())
    except snapshots.SnapshotError as error:
        raise AirflowFailException(str(error)) from error
    made_of = {
        "snapshot": chosen.version,
        "backbone": classifier.embed.backbone,
        "code": code.digest(ROOT / "ml"),
        "compute": compute,
    }
    same = registry.made_of(registry.packages(sagemaker, at.package_group), made_of)
    if same and not options["force"]:
        raise AirflowSkipException(
            f"The photos up to {cutoff:%Y-%m-%d} and the code are those of {same.run} (snapshot {chosen.version}); "
            "trigger with force to train again"
        )
    snapshots.write(s3, at, chosen)
    champion = registry.champion(sagemaker, at)
    return {
        "run": at.run(dag_run.logical_date or dag_run.run_after, dag_run.run_id),
        "cutoff": cutoff.isoformat(),
        "made_of": made_of,
        "champion": champion and {"arn": champion.arn, "run": champion.run, "model_data": champion.model_data},
        **chosen.summary(),
    }


def embed(classifier: Classifier) -> ProcessingJobOperator:
    """The frozen backbone sees each photo once per snapshot; training then works on vectors."""
    return ProcessingJobOperator(
        task_id="embed",
        doc_md=embed.__doc__,
        config=rendered(lambda context: jobs.embed_job(classifier, data(context))),
        check_interval=classifier.environment.poll_seconds,
        pool=POOL,
        pool_slots=classifier.embed.instance_count,
    )


def model_data(context: Context) -> str:
    """The s3:// URI of the model.tar.gz that the task `train` made."""
    return str(context["ti"].xcom_pull(task_ids="train")["Training"]["ModelArtifacts"]["S3ModelArtifacts"])


def evaluate(classifier: Classifier) -> ProcessingJobOperator:
    """Ask the model, and the champion, about every test photo, each by the code that serves it."""

    def config(context: Context) -> dict[str, Any]:
        champion = context["ti"].xcom_pull(task_ids="snapshot")["champion"]
        return jobs.evaluate_job(
            classifier, data(context), model_data(context), champion["model_data"] if champion else None
        )

    return ProcessingJobOperator(
        task_id="evaluate",
        doc_md=evaluate.__doc__,
        config=rendered(config),
        check_interval=classifier.environment.poll_seconds,
        pool=POOL,
    )


def judge(classifier: Classifier) -> Any:
    """Decide: promote, ask or hold; write the run's report, which says why and what the run cost.

    XCom is `outcome`, `why` in plain words, and the `metadata` that the registry keeps of the model.
    """

    @task(task_id="judge", doc_md=judge.__doc__)
    def decide() -> dict[str, Any]:
        from kennel import costs, judging, page, reports, tuning

        context = get_current_context()
        at, chosen = Names.of(classifier), context["ti"].xcom_pull(task_ids="snapshot")
        s3, sagemaker = client(classifier, "s3"), client(classifier, "sagemaker")
        evaluation = registry.read_report(s3, at, chosen["run"])
        champion = chosen["champion"]
        verdict = judging.judge(evaluation, champion and champion["run"], classifier.evaluate)
        outcome = "ask" if verdict.promote and context["params"]["approval"] == "ask" else verdict.outcome
        stages = {stage: context["ti"].xcom_pull(task_ids=stage) for stage in ("embed", "tune", "train", "evaluate")}
        started = context["dag_run"].start_date or context["dag_run"].run_after
        billed = costs.billed(sagemaker, stages, started)
        report = reports.run_report(at, chosen, evaluation, outcome, verdict.why, billed, classifier.costs.prices)
        trials = tuning.ranked(sagemaker, stages["tune"]["Tuning"]) if stages["tune"] else []
        reports.write(s3, at, report, page.render(report, evaluation, trials, classifier.tune.objective))
        return {
            "outcome": outcome,
            "why": verdict.why,
            "report": reports.markdown(report),
            "metadata": {
                "run": chosen["run"],
                "cutoff": chosen["cutoff"],
                **chosen["made_of"],
                "classes": str(evaluation["classes"]),
                "top1": f"{evaluation['top1']:.4f}",
                "top5": f"{evaluation['top5']:.4f}",
                "billable_seconds": str(report["billable_seconds"]),
                "usd": f"{report['usd']:.4f}",
            },
        }

    return decide()


def register(classifier: Classifier) -> RegisterModelOperator:
    """Put the model into the registry, once, with what it is made of; it is pending until `promote` has decided."""
    from airflow.providers.amazon.aws.utils.sagemaker import ApprovalStatus

    def extras(context: Context) -> dict[str, Any]:
        judged = context["ti"].xcom_pull(task_ids="judge")
        return serving.model_package(classifier, model_data(context), judged["metadata"])

    return RegisterModelOperator(
        task_id="register",
        doc_md=register.__doc__,
        image_uri=classifier.images.inference,
        model_url=rendered(model_data),
        package_group_name=Names.of(classifier).package_group,
        package_desc=f"{classifier.name}, trained by Kennel",
        model_approval=ApprovalStatus.PENDING_MANUAL_APPROVAL,
        extras=rendered(extras),
    )


def ask(classifier: Classifier) -> AskOperator:
    """Show a person the comparison and wait for the answer; skipped when there is nothing to ask."""
    judged = "ti.xcom_pull(task_ids='judge')"
    return AskOperator(
        task_id="ask",
        doc_md=ask.__doc__,
        outcome=f"{{{{ {judged}['outcome'] }}}}",
        subject=f"Put {{{{ {judged}['metadata']['run'] }}}} into service?",
        body=f"{{{{ {judged}['report'] }}}}",
    )


def promote(classifier: Classifier) -> Any:
    """Mark the model Approved and start `deploy` by its asset, or mark it Rejected and skip; the registry says why."""
    asset = model_asset(classifier)

    @task(
        task_id="promote",
        doc_md=promote.__doc__,
        outlets=[asset],
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    )
    def settle() -> None:
        context = get_current_context()
        judged, answer, arn = (context["ti"].xcom_pull(task_ids=name) for name in ("judge", "ask", "register"))
        approved, why = judged["outcome"] == "promote", judged["why"]
        if judged["outcome"] == "ask":
            approved, why = answer["chosen_options"] == [AskOperator.APPROVE], AskOperator.said(answer)
        registry.settle(client(classifier, "sagemaker"), arn, approved=approved, why=why)
        if not approved:
            raise AirflowSkipException(f"Not promoted: {why}")
        context["outlet_events"][asset].extra = {"package_arn": arn, "cutoff": judged["metadata"]["cutoff"]}

    return settle()
