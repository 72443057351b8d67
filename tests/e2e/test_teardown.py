"""The rest of what Kennel does, and then everything away. The last of these files by name: nothing runs after it."""

from typing import Any

import boto3
import pytest

from kennel.local.api import Airflow
from kennel.local.state import Home
from tests.rights import Cell, allowed, entries
from tests.stores import eventually

# Alone, this file makes the demo first.
pytestmark = pytest.mark.timeout(1800)
RUN_SECONDS = 600


def ended(api: Airflow, dag_id: str, run_id: str) -> str:
    """The run's id, once it has succeeded."""

    def said() -> str:
        lines = [f"{task.task_id}: {task.state}" for task in api.tasks(dag_id, run_id)]
        failed = [task for task in api.tasks(dag_id, run_id) if task.state == "failed"]
        return "\n".join(lines + [line for one in failed for line in api.log(dag_id, run_id, one.task_id, one.attempt)])

    eventually(lambda: api.run(dag_id, run_id).state in ("success", "failed"), RUN_SECONDS, said)
    assert api.run(dag_id, run_id).state == "success", said()
    return run_id


@pytest.fixture(scope="module")
def client(kennel: Any, demo: dict[str, Any]) -> Any:
    """Clients of the demo's local AWS, which is up again, as root."""
    assert kennel.run("up").returncode == 0
    variables = dict(line.split("=", 1) for line in kennel.run("env").stdout.splitlines())
    keys = {name: variables[name.upper()] for name in ("aws_access_key_id", "aws_secret_access_key")}
    place = {"endpoint_url": variables["AWS_ENDPOINT_URL"], "region_name": variables["AWS_REGION"]}
    return lambda service: boto3.client(service, **place, **keys)


@pytest.fixture(scope="module")
def torn_down(kennel: Any, client: Any) -> None:
    """After the demo: a training on EC2, the update of the endpoint to its model, and the teardown of all there is."""
    api = Airflow.running(Home(kennel.home))
    run_id = ended(api, "retrain_on_ec2", api.trigger("retrain_on_ec2", {"market": "spot"}))
    deploy = eventually(lambda: api.triggered_run("retrain_on_ec2", run_id))
    ended(api, "deploy", deploy.run_id)
    ended(api, "teardown", api.trigger("teardown", {"classifier": "dogs", "models": True, "data": True}))


@pytest.fixture(scope="module")
def expected(client: Any) -> list[Cell]:
    """The rights that the whole path is to use."""
    filters = [{"Name": "group-name", "Values": ["kennel-dogs-ec2"]}]
    [group] = client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
    whole = [cell for cell in allowed() if cell.request is None and not cell.only_on_aws]
    return [cell.named({"group": group["GroupId"]}) for cell in whole]


def test_the_teardown_leaves_the_stack_and_no_object(client: Any, torn_down: None) -> None:
    [stack] = client("cloudformation").describe_stacks(StackName="kennel-dogs")["Stacks"]
    assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
    [bucket] = [output["OutputValue"] for output in stack["Outputs"] if output["OutputKey"] == "Bucket"]
    assert "Versions" not in client("s3").list_object_versions(Bucket=bucket)
    assert client("sagemaker").list_endpoints()["Endpoints"] == []
    assert client("lambda").list_functions()["Functions"] == []


def test_every_right_of_the_table_has_been_used(kennel: Any, torn_down: None, expected: list[Cell]) -> None:
    """By the role's own keys: IAM has written down each decision."""
    keys = ("principal", "action", "resource")
    allowed_ones = (entry for entry in entries(kennel.home / "localaws") if entry["decision"] == "allowed")
    used = {tuple(entry[key] for key in keys) for entry in allowed_ones}
    found = [dict(zip(keys, entry, strict=True)) for entry in used]
    assert [str(cell) for cell in expected if not any(cell.is_in(entry) for entry in found)] == []
