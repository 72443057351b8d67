"""
# Deploy the newest model

Puts the newest approved model in service: SageMaker endpoint, autoscaling, Lambda function. Newest is the one with the
latest cutoff, whatever the order in which runs ended. `retrain` wakes this DAG up by its asset; a person triggers it,
with `version` to go back to an older model.

- `choose_model` takes the `version` given, or the newest approved. It **skips the run** when nothing is approved, or a
  newer model is in service, and fails for a version that is not approved, saying how to approve it. It writes down
  what serves now.
- `create_model` makes SageMaker's records of it; a retry finds them.
- `rehearse` serves known photos from an endpoint of its own, `...-rehearsal`, and deletes it: a model that does not
  load, answers wrongly or is slow ends here. Not for a first deploy.
- `deploy_endpoint` creates or updates the endpoint and is done when it is in service with this config. During an update
  scaling is suspended; for `endpoint.bake_minutes` after it the old instances stand by, and the alarms
  `kennel-...-5xx` and `-latency` call it back. The model's log: `/aws/sagemaker/Endpoints/...`.
- `scale_endpoint` registers the endpoint's instances for target tracking and resumes the scaling.
- `deploy_function` creates or updates the function, publishes a version only when something differs, and points the
  alias `live` at it. Refused concurrency means that the account's Lambda quota is too low.
- `check_rights` asks IAM whether the function may invoke its endpoint and nothing else. Wrong rights: update the stack
  from `infra/foundation.yaml`.
- `smoke_test` invokes the alias with the known photos, and wants 200, a score per class and the right labels. The
  function's log is `/aws/lambda/...`.
- `roll_back` runs when a task has failed for good: it puts back the endpoint's config, the alias and its provisioned
  concurrency as they were, resumes scaling, and **fails the run with the reason**. When the model was at fault (it did
  not load, was slow or wrong, an alarm fired) the registry gets it as Rejected with the reason, and it is not tried
  again; for any other reason (capacity, a quota, throttling) it stays Approved: clear the failed task, or trigger anew.

**Going back.** Trigger with `{"version": VERSION}`; on the local AWS `kennel rollback VERSION` does. When that has
worked, the approved models newer than it are marked Rejected, "rolled back to version ...", so that the next wake-up
does not bring them back; a model trained later does deploy. To have one of them after all, approve it again and trigger
with its version.

**An unchanged redeploy** changes nothing; each task says so, and `smoke_test` asks all the same.

Every task may be cleared and run again at any time. After a roll-back clear from `deploy_endpoint` on.
"""

from typing import Any

from airflow.sdk import DAG, Context, Param, TriggerRule, chain, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from kennel import registry
from kennel.aws import client
from kennel.config import ROOT, load
from kennel.defaults import FAILURE, rendered, task_defaults
from kennel.names import Names
from kennel.operators.autoscaling import RegisterScalingOperator
from kennel.operators.functions import DeployFunctionOperator
from kennel.operators.hosting import EndpointOperator, ServingRecordsOperator
from kennel.operators.rehearsal import RehearsalOperator
from kennel.operators.rights import CheckRightsOperator, Right
from kennel.operators.rollback import RollBackOperator
from kennel.specs import serving
from kennel.stages import model_asset

CLASSIFIER = load("dogs")
AT = Names.of(CLASSIFIER)
ALIAS = "live"
PRESIGNED_SECONDS = 300


def alias() -> Any:
    from kennel.functions import Alias

    return Alias(client(CLASSIFIER, "lambda"), AT.function, ALIAS)


def chosen(context: Context) -> dict[str, Any]:
    return dict(context["ti"].xcom_pull(task_ids="choose_model") or {})


def model(context: Context) -> dict[str, Any]:
    package = chosen(context)
    return serving.model(CLASSIFIER, package["version"], package["image"], package["model_data"])


def endpoint_config(context: Context, instances: int = CLASSIFIER.endpoint.initial_instances) -> dict[str, Any]:
    instance_type = context["params"]["endpoint_instance_type"]
    return serving.endpoint_config(CLASSIFIER, chosen(context)["version"], instance_type, instances)


def rehearsal_config(context: Context) -> dict[str, Any]:
    return endpoint_config(context, instances=1)


def endpoint(context: Context) -> dict[str, Any]:
    return serving.endpoint(CLASSIFIER, AT.endpoint, endpoint_config(context)["EndpointConfigName"])


def rehearsal(context: Context) -> dict[str, Any]:
    return serving.endpoint(CLASSIFIER, AT.rehearsal, rehearsal_config(context)["EndpointConfigName"])


def previous(context: Context) -> dict[str, Any]:
    return dict(chosen(context).get("previous", {}))


def previous_endpoint(context: Context) -> dict[str, Any]:
    return serving.endpoint(CLASSIFIER, AT.endpoint, previous(context).get("endpoint_config") or "")


def failure(context: Context) -> dict[str, Any]:
    """Which task has failed, why, and whether the model is to blame."""
    ti = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])[ti.run_id]
    task_id = next((name for name in states if states[name] == "failed" and name != ti.task_id), "the run")
    left = ti.xcom_pull(task_ids=task_id, key=FAILURE)
    return {
        "task_id": task_id,
        **(left or {"reason": "it was killed or marked failed; see its log", "model_at_fault": False}),
    }


@task
def choose_model() -> dict[str, Any]:
    """Decide which model to deploy; skip when none may be. XCom says what the other tasks need of it."""
    from kennel.operators.rollback import in_service

    version, sagemaker = get_current_context()["params"]["version"], client(CLASSIFIER, "sagemaker")
    # Asset events only wake this up: several may have come as one, and in any order.
    approved = list(registry.packages(sagemaker, AT.package_group, ModelApprovalStatus="Approved"))
    if version:
        try:
            package = registry.named(sagemaker, AT, version)
        except LookupError as error:
            raise AirflowFailException(str(error)) from error
    elif newest := registry.newest(approved):
        package = newest
        if obstacle := registry.obstacle(package, registry.in_service(sagemaker, AT)):
            raise AirflowSkipException(obstacle)
    else:
        raise AirflowSkipException("No model is approved yet: run retrain, or approve one in the registry")
    report = registry.read_report(client(CLASSIFIER, "s3"), AT, package.run)
    photos = AT.samples(package.run)
    return {
        "package_arn": package.arn,
        "version": package.version,
        "image": package.image,
        "model_data": package.model_data,
        "classes": report["classes"],
        "samples": [{**sample, "photo": photos + sample["photo"]} for sample in report["samples"]],
        "previous": in_service(sagemaker, AT.endpoint, alias()),
        "newer": [one.arn for one in approved if one.age > package.age],
    }


@task
def smoke_test() -> str:
    """Real photos through the alias: 200, a score per class, the right labels. XCom says what the run has come to."""
    from kennel import photos

    context = get_current_context()
    package, config = chosen(context), endpoint_config(context)["EndpointConfigName"]
    sagemaker, s3, function = client(CLASSIFIER, "sagemaker"), client(CLASSIFIER, "s3"), alias()
    serves = sagemaker.describe_endpoint(EndpointName=AT.endpoint)["EndpointConfigName"]
    if serves != config:
        raise AirflowFailException(f"{AT.endpoint} serves {serves}, not {config}: clear from deploy_endpoint on")
    for sample in package["samples"]:
        photo = {"Bucket": AT.bucket, "Key": sample["photo"]}
        event = {"url": s3.generate_presigned_url("get_object", photo, ExpiresIn=PRESIGNED_SECONDS)}
        photos.check_functions(function.ask(event), sample, package["classes"])
    for arn in package["newer"]:
        registry.settle(sagemaker, arn, approved=False, why=f"rolled back to version {package['version']}")
    changed = ("deploy_endpoint", "scale_endpoint", "deploy_function")
    if any(context["ti"].xcom_pull(task_ids=name)["changed"] for name in changed):
        return f"Version {package['version']} is in service."
    return f"Version {package['version']} was in service with this config and function: nothing was changed."


with DAG(
    dag_id="deploy",
    description="A registered model into service: endpoint, autoscaling, function, checks; back again if one fails",
    doc_md=__doc__,
    schedule=[model_asset(CLASSIFIER)],
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(CLASSIFIER),
    tags=["kennel", CLASSIFIER.name],
    params={
        "version": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=1_000_000,
            title="Version",
            description="The version in the model registry to deploy or go back to. Empty: the newest approved.",
        ),
        "endpoint_instance_type": Param(
            CLASSIFIER.endpoint.instance_type,
            type="string",
            pattern=r"^ml\.[a-z0-9]+\.[a-z0-9]+$",
            title="Endpoint instance type",
            description="What the endpoint's instances are.",
            examples=["ml.m5.large", "ml.c5.xlarge"],
        ),
    },
) as dag:
    steps: list[Any] = [
        ServingRecordsOperator(
            task_id="create_model",
            doc_md="SageMaker's records: the model, and which instances serve it; another content is another config.",
            model=rendered(model),
            configs=rendered(lambda context: [endpoint_config(context), rehearsal_config(context)]),
        ),
        RehearsalOperator(
            task_id="rehearse",
            doc_md="The model tried out on an endpoint of its own, before the one in service gets it.",
            config=rendered(rehearsal),
            endpoint=AT.endpoint,
            endpoint_config=rendered(lambda context: endpoint_config(context)["EndpointConfigName"]),
            bucket=AT.bucket,
            samples=rendered(lambda context: chosen(context)["samples"]),
            classes=rendered(lambda context: int(chosen(context)["classes"])),
            max_latency_ms=CLASSIFIER.endpoint.max_latency_ms,
            check_interval=CLASSIFIER.environment.poll_seconds,
            max_ingestion_time=3600,
        ),
        EndpointOperator(
            task_id="deploy_endpoint",
            doc_md="Create or update the endpoint; in service with the old config is a failed deploy.",
            config=rendered(endpoint),
            alarms=serving.rollback_alarms(CLASSIFIER),
            blue_green=serving.blue_green(CLASSIFIER),
            check_interval=CLASSIFIER.environment.poll_seconds,
            max_ingestion_time=3600 + 60 * CLASSIFIER.endpoint.bake_minutes,
        ),
        RegisterScalingOperator(
            task_id="scale_endpoint",
            doc_md="Target tracking on invocations per instance.",
            target=serving.scalable_target(CLASSIFIER),
            policy=serving.scaling_policy(CLASSIFIER),
        ),
        DeployFunctionOperator(
            task_id="deploy_function",
            doc_md="The function that takes a photo's URL; published only when code or settings differ.",
            configuration=serving.function_configuration(CLASSIFIER),
            package=ROOT / "lambda" / "invoke_endpoint",
            alias=ALIAS,
            provisioned_concurrency=CLASSIFIER.function.provisioned_concurrency,
            reserved_concurrency=CLASSIFIER.function.reserved_concurrency,
        ),
        CheckRightsOperator(
            task_id="check_rights",
            doc_md="The function may invoke its endpoint, may not delete it and may not reach another.",
            role_arn=AT.role_arn("lambda"),
            rights=[
                Right("sagemaker:InvokeEndpoint", AT.endpoint_arn, allowed=True),
                Right("sagemaker:DeleteEndpoint", AT.endpoint_arn, allowed=False),
                Right("sagemaker:InvokeEndpoint", f"{AT.endpoint_arn}-other", allowed=False),
            ],
        ),
        smoke_test(),
    ]
    roll_back = RollBackOperator(
        task_id="roll_back",
        doc_md="When a task has failed: what served before comes back, and the run fails with the reason.",
        trigger_rule=TriggerRule.ONE_FAILED,
        config=rendered(previous_endpoint),
        previous=rendered(previous),
        failure=rendered(failure),
        package_arn=rendered(lambda context: chosen(context).get("package_arn", "")),
        rehearsal=AT.rehearsal,
        function=AT.function,
        alias=ALIAS,
        target=serving.scalable_target(CLASSIFIER),
        policy=serving.scaling_policy(CLASSIFIER),
        check_interval=CLASSIFIER.environment.poll_seconds,
        max_ingestion_time=3600,
    )
    chain(choose_model(), *steps)
    steps >> roll_back
