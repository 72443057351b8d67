"""
# Deploy the newest model

Puts an approved model in service: SageMaker endpoint, autoscaling, Lambda function. Started by the asset that `retrain`
updates, or by hand.

- `choose_model` takes the model of the asset's event, the `package_arn` given, or the newest approved one. It **skips
  the run** for a model that awaits approval, and for one with an earlier cutoff than the one in service.
- `create_model` and `create_endpoint_config` make SageMaker's records of it; a retry finds them.
- `deploy_endpoint` creates or updates the endpoint, and is done when it is in service with this config. After a failed
  update the old model still serves, and the task fails with SageMaker's reason: see `/aws/sagemaker/Endpoints/...`.
- `scale_endpoint` registers the endpoint's instances for target tracking.
- `deploy_function` creates or updates the function, publishes a version only when something differs, and points the
  alias `live` at it. Refused concurrency means that the account's Lambda quota is too low.
- `check_rights` asks IAM whether the function may invoke its endpoint and nothing else. Wrong rights: update the stack
  from `infra/foundation.yaml`.
- `smoke_test` invokes the alias with a test photo that the evaluation got right, and wants 200, a score per class and
  the right label. The function's log is `/aws/lambda/...`.

Every task may be cleared and run again at any time.
"""

import json
from typing import Any

from airflow.sdk import DAG, Asset, Context, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from kennel import registry
from kennel.config import ROOT, load
from kennel.defaults import rendered, task_defaults
from kennel.names import Names
from kennel.operators.autoscaling import RegisterScalingOperator
from kennel.operators.functions import DeployFunctionOperator, InvokeAndCheckOperator
from kennel.operators.hosting import EndpointConfigOperator, EndpointOperator, ModelOperator
from kennel.operators.rights import CheckRightsOperator, Right
from kennel.specs import serving

CLASSIFIER = load("dogs")
AT = Names.of(CLASSIFIER)
MODEL = Asset(f"{CLASSIFIER.name}-model")
ALIAS = "live"
PRESIGNED_SECONDS = 300


def client(service: str) -> Any:
    """A boto3 client by the connection `aws_default`."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
    from botocore.config import Config

    # boto3 still presigns with SigV2 in us-east-1 unless told otherwise.
    config = Config(signature_version="s3v4") if service == "s3" else None
    return AwsBaseHook(client_type=service, region_name=CLASSIFIER.region, config=config).conn


def chosen(context: Context) -> dict[str, Any]:
    return dict(context["ti"].xcom_pull(task_ids="choose_model"))


def model_config(context: Context) -> dict[str, Any]:
    model = chosen(context)
    return serving.model(CLASSIFIER, model["run"], model["image"], model["model_data"])


def endpoint_config(context: Context) -> dict[str, Any]:
    return serving.endpoint_config(CLASSIFIER, chosen(context)["run"], context["params"]["endpoint_instance_type"])


def endpoint(context: Context) -> dict[str, Any]:
    return serving.endpoint(CLASSIFIER, endpoint_config(context)["EndpointConfigName"])


def photo_event(context: Context) -> str:
    """The event with a short-lived URL of the evaluation's sample photo."""
    photo = {"Bucket": AT.bucket, "Key": AT.datasets + chosen(context)["sample"]["photo"]}
    return json.dumps({"url": client("s3").generate_presigned_url("get_object", photo, ExpiresIn=PRESIGNED_SECONDS)})


def names_the_sample(answer: dict[str, Any], context: Context) -> None:
    """Raise unless the answer is 200 with one score per class and the sample's label first."""
    model = chosen(context)
    if answer.get("statusCode") != 200:
        raise AirflowException(f"the function answered {answer.get('statusCode')}: {answer.get('body')}")
    scores = json.loads(answer["body"])[0]
    if len(scores) != model["classes"]:
        raise AirflowException(f"the function answered {len(scores)} scores, the model has {model['classes']} classes")
    label, expected = answer["predictions"][0]["label"], model["sample"]["label"]
    if label != expected:
        raise AirflowException(f"the function calls {model['sample']['photo']} {label}; the evaluation said {expected}")


@task
def choose_model(triggering_asset_events: Any = None) -> dict[str, Any]:
    """Decide which model to deploy; skip when it may not be. XCom says what the other tasks need of it."""
    params = get_current_context()["params"]
    sagemaker = client("sagemaker")
    # An event that a person made in the UI names no package: it asks for the newest one.
    events = [event.extra for events in (triggering_asset_events or {}).values() for event in events]
    announced = [extra["package_arn"] for extra in events if "package_arn" in extra]
    if wanted := [params["package_arn"]] if params["package_arn"] else announced:
        package = registry.newest(registry.package(sagemaker, arn) for arn in wanted)
    else:
        package = registry.newest(registry.packages(sagemaker, AT.package_group, ModelApprovalStatus="Approved"))
    if package is None:
        raise AirflowSkipException("No model is approved yet: run retrain, or approve one in the registry")
    if obstacle := registry.obstacle(package, registry.in_service(sagemaker, AT), force=params["force"]):
        raise AirflowSkipException(obstacle)
    report = registry.read_report(client("s3"), AT, package.run)
    return {
        "package_arn": package.arn,
        "run": package.run,
        "image": package.image,
        "model_data": package.model_data,
        "classes": report["classes"],
        "sample": report["samples"][0],
    }


with DAG(
    dag_id="deploy",
    description="A registered model into service: endpoint, autoscaling, function, checks",
    doc_md=__doc__,
    schedule=[MODEL],
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(CLASSIFIER),
    tags=["kennel", CLASSIFIER.name],
    params={
        "package_arn": Param(
            None,
            type=["null", "string"],
            pattern=r"^arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:model-package/.+$",
            title="Model package",
            description="The version to deploy. Empty: the one that retrain just registered, or the newest approved.",
        ),
        "force": Param(
            False,
            type="boolean",
            title="Force",
            description="Deploy even over a model that knows later photos.",
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
    (
        choose_model()
        >> ModelOperator(
            task_id="create_model",
            doc_md="SageMaker's record of the artifact and the image that serves it.",
            config=rendered(model_config),
        )
        >> EndpointConfigOperator(
            task_id="create_endpoint_config",
            doc_md="Which model on which instances; another content makes another config.",
            config=rendered(endpoint_config),
        )
        >> EndpointOperator(
            task_id="deploy_endpoint",
            doc_md="Create or update the endpoint; in service with the old config is a failed deploy.",
            config=rendered(endpoint),
            check_interval=CLASSIFIER.environment.poll_seconds,
            max_ingestion_time=3600,
        )
        >> RegisterScalingOperator(
            task_id="scale_endpoint",
            doc_md="Target tracking on invocations per instance.",
            target=serving.scalable_target(CLASSIFIER),
            policy=serving.scaling_policy(CLASSIFIER),
        )
        >> DeployFunctionOperator(
            task_id="deploy_function",
            doc_md="The function that takes a photo's URL; published only when code or settings differ.",
            configuration=serving.function_configuration(CLASSIFIER),
            package=ROOT / "lambda" / "invoke_endpoint",
            alias=ALIAS,
            provisioned_concurrency=CLASSIFIER.function.provisioned_concurrency,
            reserved_concurrency=CLASSIFIER.function.reserved_concurrency,
        )
        >> CheckRightsOperator(
            task_id="check_rights",
            doc_md="The function may invoke its endpoint, may not delete it and may not reach another.",
            role_arn=AT.role_arn("lambda"),
            rights=[
                Right("sagemaker:InvokeEndpoint", AT.endpoint_arn, allowed=True),
                Right("sagemaker:DeleteEndpoint", AT.endpoint_arn, allowed=False),
                Right("sagemaker:InvokeEndpoint", f"{AT.endpoint_arn}-other", allowed=False),
            ],
        )
        >> InvokeAndCheckOperator(
            task_id="smoke_test",
            doc_md="One real photo through the alias: 200, a score per class, the right label.",
            function_name=AT.function,
            qualifier=ALIAS,
            payload=rendered(photo_event),
            check=names_the_sample,
        )
    )
