"""
# Take the classifier out of service

Deletes what `deploy` has made, and with `models` and `data` also what `retrain` has made. Started by hand only, and it
asks for the classifier's name, so that nobody does it by a slip.

**Pause `retrain`, `retrain_on_ec2` and `deploy` first**, and let no run of theirs go on, or they make it all anew.

- `list_resources` lists what will be deleted, in its log and its XCom.
- `delete_resources` deletes it: EC2 instances that still train, scaling, endpoints, endpoint configs and model records,
  function, alarms; with `models` the registered versions, their group and all that runs made; with `data` the photos
  and what was made of them, weights and code. An endpoint that is being changed is waited for. The bucket keeps old
  versions of its objects; they go too, so **nothing of it can be brought back**.
- `check_nothing_is_left` lists again, and fails with the name of what is still there.

Every task may be cleared and run again, and so may the whole DAG: what is gone is passed over. The CloudFormation
stack, with the bucket, the roles and the topic, is never touched; the last task's log says how to delete it.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowException

from kennel import teardown
from kennel.aws import client
from kennel.config import load
from kennel.defaults import task_defaults
from kennel.names import Names

CLASSIFIER = load("dogs")
AT = Names.of(CLASSIFIER)


def account() -> teardown.Account:
    return teardown.Account(
        lambda service: client(CLASSIFIER, service),
        AT,
        say=print,
        poll_seconds=CLASSIFIER.environment.poll_seconds,
    )


def asked() -> dict[str, bool]:
    params: dict[str, Any] = dict(get_current_context()["params"])
    return {name: params[name] for name in ("models", "data")}


@task
def list_resources() -> list[str]:
    """List what will be deleted. The list is the XCom, and in the log."""
    found = teardown.found(account(), **asked())
    print("\n".join(found) or "There is nothing to delete.")
    return found


@task(execution_timeout=timedelta(hours=2))
def delete_resources() -> None:
    """Delete it, in the order of the list; an endpoint that is being changed is waited for."""
    try:
        teardown.delete(account(), **asked())
    except teardown.TeardownError as error:
        raise AirflowException(str(error)) from error


@task
def check_nothing_is_left() -> None:
    """List again. What is still there fails the task, by name."""
    try:
        teardown.check(account(), **asked())
    except teardown.TeardownError as error:
        raise AirflowException(str(error)) from error
    print(teardown.what_stays(AT))


with DAG(
    dag_id="teardown",
    description="Endpoint, scaling, function and alarms away; on request models and data too",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    default_args=task_defaults(CLASSIFIER),
    tags=["kennel", CLASSIFIER.name],
    params={
        "classifier": Param(
            type="string",
            pattern=f"^{CLASSIFIER.name}$",
            title="Classifier",
            description=f"Type {CLASSIFIER.name} to confirm that it is this one that you take down.",
        ),
        "models": Param(
            False,
            type="boolean",
            title="Models too",
            description="Also delete all registered versions, their group and all that runs made.",
        ),
        "data": Param(
            False,
            type="boolean",
            title="Data too",
            description="Also delete the photos, snapshots, vectors, weights and published code.",
        ),
    },
) as dag:
    list_resources() >> delete_resources() >> check_nothing_is_left()
