"""
# Retrain the classifier on an EC2 instance

The same as `retrain`, but the final training runs on a plain EC2 instance, and nothing is tuned. The model lands in the
same registry with `compute=ec2`; `kennel models` shows both kinds in one table. Triggered by hand only.

- `sweep` **terminates leftovers**: instances of this classifier that are older than their own limit. There are none
  unless an instance could not shut itself down.
- `publish_code` and `snapshot` are those of `retrain`. A run is skipped when a model was made **on EC2** of the same
  photos and code.
- `choose_hyperparameters` takes those that were tuned for the newest approved model from SageMaker; without one, the
  defaults of `ml/train.py`. The params overrule them.
- `check_quota` compares what the instance needs with the account's quota before anything is paid for. Its error names
  the quota, its code, what is needed and what there is; ask for more under Service Quotas, or take another instance
  type. Without room for a Spot instance the run goes on on demand, and its log says so.
- `embed` is the same job as `retrain`'s: vectors that are there are used.
- `train` launches one instance, which trains by a command of Systems Manager and is **terminated however that ends**.
  Its output appears in the task's log as it comes, and in CloudWatch under `/kennel-<classifier>/ec2`.
- `evaluate`, `judge`, `register`, `ask` and `promote` are those of `retrain`: a model from EC2 may be promoted too.

**Failures.** *Not reached by Systems Manager*: the instance's subnet has no way to the internet, or the image's agent
does not run. *Took longer than*: raise `ec2.max_runtime_minutes`. Otherwise the task says the script's own reason.

**Clearing** `train` terminates its instance, and so does marking it failed. A retry adopts the instance that runs, uses
the model that is stored, and launches another one otherwise. A Spot instance that is interrupted is followed by one on
demand, from the training's beginning.

**If Airflow is gone**, the instance shuts itself down, and so terminates, 15 minutes after the training's limit.

**Costs.** Prices of `costs.prices` are those on demand; a Spot instance costs less than the report says.
"""

import datetime
from typing import Any

from airflow.sdk import DAG, Context, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from kennel import costs, stages
from kennel.aws import client
from kennel.config import load
from kennel.defaults import rendered, task_defaults
from kennel.names import Names
from kennel.operators.ec2 import TrainOnEc2Operator
from kennel.specs import ec2

CLASSIFIER = load("dogs")
TUNED = ("learning_rate", "batch_size")


def bound(params: dict[str, Any]) -> list[costs.Planned]:
    return costs.planned_on_ec2(CLASSIFIER, params["instance_type"])


@task
def sweep() -> list[str]:
    """End the classifier's instances that are older than their own limit. XCom is their ids."""
    from kennel import instances

    ec2_client = client(CLASSIFIER, "ec2")
    found = instances.leftovers(ec2_client, CLASSIFIER.name, datetime.datetime.now(datetime.UTC))
    for instance in found:
        print(
            f"Terminating {instance['InstanceId']}, {instance['State']['Name']} since {instance['LaunchTime']:%F %R} "
            f"of {instances.tags(instance).get(ec2.JOB_TAG, 'an unknown training')}"
        )
    instances.terminate(ec2_client, found)
    return [instance["InstanceId"] for instance in found]


@task
def choose_hyperparameters() -> dict[str, str]:
    """Take those of the params, else those tuned for the newest approved model, else the script's own."""
    from kennel import registry

    tuned = registry.tuned(client(CLASSIFIER, "sagemaker"), Names.of(CLASSIFIER), CLASSIFIER.tune.ranges)
    params = get_current_context()["params"]
    return {**tuned, **{name: str(params[name]) for name in TUNED if params[name] is not None}}


@task
def check_quota() -> str:
    """Fail when the account's quota has no room for the instance. XCom is the market that has: spot or on-demand."""
    from kennel import quotas

    context = get_current_context()
    params, run = context["params"], context["ti"].xcom_pull(task_ids="snapshot")["run"]
    ec2_client, quota_client = (client(CLASSIFIER, service) for service in ("ec2", "service-quotas"))
    try:
        market, found = quotas.market_with_room(
            ec2_client, quota_client, params["instance_type"], params["market"], run
        )
    except quotas.QuotaError as error:
        raise (AirflowFailException if error.lasting else AirflowException)(str(error)) from error
    print(*found, f"Launching {market}", sep="\n")
    return market


def training(context: Context) -> ec2.Training:
    tuned = context["ti"].xcom_pull(task_ids="choose_hyperparameters")
    return ec2.training(CLASSIFIER, stages.data(context), tuned, context["params"]["instance_type"])


with DAG(
    dag_id="retrain_on_ec2",
    description="Photos to a registered model, trained on an EC2 instance: sweep, snapshot, embed, train, evaluate",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    default_args=task_defaults(CLASSIFIER),
    tags=["kennel", CLASSIFIER.name],
    params={
        **stages.params(CLASSIFIER),
        "instance_type": Param(
            CLASSIFIER.ec2.instance_type,
            type="string",
            pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$",
            title="Instance type",
            description="What the training runs on; costs.prices must have its price.",
            examples=["m5.xlarge", "c5.2xlarge", "g4dn.xlarge"],
        ),
        "market": Param(
            CLASSIFIER.ec2.market,
            type="string",
            enum=["on-demand", "spot"],
            title="Market",
            description="spot is cheaper and may be interrupted; without room for it the run goes on on demand.",
        ),
        "learning_rate": Param(
            None,
            type=["null", "number"],
            exclusiveMinimum=0,
            maximum=1,
            title="Learning rate",
            description="Empty: as tuned for the newest approved model from SageMaker.",
        ),
        "batch_size": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=4096,
            title="Batch size",
            description="Empty: as tuned for the newest approved model from SageMaker.",
        ),
    },
) as dag:
    register, ask = stages.register(CLASSIFIER), stages.ask(CLASSIFIER)
    (
        sweep()
        >> [stages.publish_code(CLASSIFIER), stages.snapshot(CLASSIFIER, "ec2", bound)]
        >> choose_hyperparameters()
        >> check_quota()
        >> stages.embed(CLASSIFIER)
        >> TrainOnEc2Operator(
            task_id="train",
            doc_md="Train on an instance of its own, which is terminated however that ends.",
            training=rendered(training),
            market="{{ ti.xcom_pull(task_ids='check_quota') }}",
            check_interval=CLASSIFIER.environment.poll_seconds,
        )
        >> stages.evaluate(CLASSIFIER)
        >> stages.judge(CLASSIFIER)
        >> register
        >> ask
    )
    [register, ask] >> stages.promote(CLASSIFIER)
