"""Deploying a function to the local AWS: created once, published only when something differs."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException

from kennel.functions import Alias
from kennel.operators.functions import DeployFunctionOperator, archive

NO_CONTEXT = cast(Context, {})
HANDLER = "def lambda_handler(event, context):\n    return {'statusCode': 200, 'greeting': 'hello ' + event['who']}\n"

Make = Callable[..., DeployFunctionOperator]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "greeter"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "handler.py").write_text(HANDLER)
    return folder


@pytest.fixture
def deploy(package: Path, role_arn: str) -> Make:
    """Make the operator, as every try of the task does."""
    name = f"greeter-{uuid.uuid4().hex[:8]}"

    def make(memory: int = 128, provisioned: int = 1) -> DeployFunctionOperator:
        return DeployFunctionOperator(
            task_id="deploy_function",
            package=package,
            alias="live",
            provisioned_concurrency=provisioned,
            reserved_concurrency=2,
            configuration={
                "FunctionName": name,
                "Role": role_arn,
                "Runtime": "python3.12",
                "Handler": "greeter.handler.lambda_handler",
                "Timeout": 10,
                "MemorySize": memory,
                "Environment": {"Variables": {"WHO": "world"}},
            },
        )

    return make


def test_creates_publishes_and_warms_a_function_that_answers(local_aws: Any, deploy: Make) -> None:
    result = deploy().execute(NO_CONTEXT)
    assert (result["version"], result["alias"], result["changed"]) == ("1", "live", True)
    client = local_aws.client("lambda")
    answer = client.invoke(FunctionName=result["name"], Qualifier="live", Payload=b'{"who": "dogs"}')
    assert json.load(answer["Payload"])["greeting"] == "hello dogs"
    warm = client.get_provisioned_concurrency_config(FunctionName=result["name"], Qualifier="live")
    assert (warm["RequestedProvisionedConcurrentExecutions"], warm["Status"]) == (1, "READY")
    assert client.get_function_concurrency(FunctionName=result["name"])["ReservedConcurrentExecutions"] == 2


def test_publishes_nothing_when_code_and_settings_are_unchanged(local_aws: Any, deploy: Make) -> None:
    first, second = deploy().execute(NO_CONTEXT), deploy().execute(NO_CONTEXT)
    assert (second["version"], second["changed"]) == (first["version"], False)
    versions = local_aws.client("lambda").list_versions_by_function(FunctionName=first["name"])["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", "1"]


def test_publishes_again_when_a_setting_differs(deploy: Make) -> None:
    deploy().execute(NO_CONTEXT)
    assert deploy(memory=256).execute(NO_CONTEXT)["version"] == "2"


def test_publishes_again_when_the_code_differs(local_aws: Any, deploy: Make, package: Path) -> None:
    name = deploy().execute(NO_CONTEXT)["name"]
    (package / "handler.py").write_text(HANDLER.replace("hello", "good morning"))
    assert deploy().execute(NO_CONTEXT)["version"] == "2"
    answer = local_aws.client("lambda").invoke(FunctionName=name, Qualifier="live", Payload=b'{"who": "dogs"}')
    assert json.load(answer["Payload"])["greeting"] == "good morning dogs"


def test_finishes_what_a_try_that_died_before_publishing_began(local_aws: Any, deploy: Make, package: Path) -> None:
    operator = deploy()
    operator.execute(NO_CONTEXT)
    (package / "handler.py").write_text(HANDLER + "\n")
    name = operator.configuration["FunctionName"]
    local_aws.client("lambda").update_function_code(FunctionName=name, ZipFile=archive(package))
    assert deploy().execute(NO_CONTEXT)["version"] == "2"


def test_turns_provisioned_concurrency_off(local_aws: Any, deploy: Make) -> None:
    name = deploy().execute(NO_CONTEXT)["name"]
    deploy(provisioned=0).execute(NO_CONTEXT)
    client = local_aws.client("lambda")
    with pytest.raises(client.exceptions.ProvisionedConcurrencyConfigNotFoundException):
        client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")


def test_requests_that_were_carried_out_although_their_answers_were_lost_are_no_failure(
    local_aws: Any, deploy: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = deploy()
    client, name = operator.hook.conn, operator.configuration["FunctionName"]

    def asked_twice(call: Any) -> Any:
        """As boto3 does when the connection is lost before the answer."""

        def ask(**request: Any) -> Any:
            call(**request)
            return call(**request)

        return ask

    for call in ("create_function", "publish_version", "create_alias", "put_provisioned_concurrency_config"):
        monkeypatch.setattr(client, call, asked_twice(getattr(client, call)))
    assert operator.execute(NO_CONTEXT)["version"] == "1"
    assert Alias(local_aws.client("lambda"), name, "live").version == "1"


def test_the_alias_tells_the_functions_answer_and_its_failure(local_aws: Any, deploy: Make) -> None:
    alias = Alias(local_aws.client("lambda"), deploy().execute(NO_CONTEXT)["name"], "live")
    assert alias.ask({"who": "dogs"})["greeting"] == "hello dogs"
    with pytest.raises(AirflowException, match="failed: 'who'"):
        alias.ask({})


def test_an_alias_that_is_not_there_calls_nothing_keeps_nothing_warm_and_can_be_deleted(
    local_aws: Any, deploy: Make
) -> None:
    missing = Alias(local_aws.client("lambda"), "no-such-function", "live")
    assert (missing.version, missing.provisioned) == (None, 0)
    missing.delete()
    alias = Alias(missing.client, deploy().execute(NO_CONTEXT)["name"], "live")
    alias.delete()
    assert (alias.version, alias.provisioned) == (None, 0)
