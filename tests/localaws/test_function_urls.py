"""A function's own URL: open to everybody where its owner says so, on AWS's two conditions, and else to nobody."""

import io
import json
import zipfile
from typing import Any

import httpx
import pytest

from tests.conftest import LocalAws
from tests.localaws.jobs import unique

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
# Written for API Gateway, as many are: it reads the proxy event and answers with status, headers and body.
ECHO = """
import base64, json

def handler(event, context):
    body = event.get("body")
    if body and event["isBase64Encoded"]:
        body = base64.b64decode(body).decode("latin-1")
    seen = {
        "method": event["requestContext"]["http"]["method"],
        "path": event["rawPath"],
        "query": event.get("queryStringParameters"),
        "authorization": event["headers"].get("authorization"),
        "account": event["requestContext"]["accountId"],
        "body": body,
    }
    return {"statusCode": 201, "headers": {"X-Seen": "yes"}, "body": json.dumps(seen)}
"""


@pytest.fixture(scope="module")
def functions(local_aws: LocalAws) -> Any:
    return local_aws.client("lambda")


@pytest.fixture(scope="module")
def function(local_aws: LocalAws, functions: Any) -> str:
    name, code = unique("echo"), io.BytesIO()
    role = local_aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    with zipfile.ZipFile(code, "w") as file:
        file.writestr("app.py", ECHO)
    functions.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role=role["Arn"],
        Handler="app.handler",
        Code={"ZipFile": code.getvalue()},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return name


def let_everybody_in(functions: Any, function: str) -> None:
    functions.add_permission(
        FunctionName=function,
        StatementId="everybody",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )


@pytest.fixture(scope="module")
def url(functions: Any, function: str) -> str:
    """The function's URL as it is told, open to everybody."""
    told = functions.create_function_url_config(FunctionName=function, AuthType="NONE")["FunctionUrl"]
    forbidden = httpx.get(told)
    assert (forbidden.status_code, "Forbidden" in forbidden.json()["Message"]) == (403, True)
    let_everybody_in(functions, function)
    return str(told)


def test_is_told_the_same_by_every_operation(local_aws: LocalAws, functions: Any, function: str, url: str) -> None:
    assert url.startswith(f"{local_aws.url}/")
    assert functions.get_function_url_config(FunctionName=function)["FunctionUrl"] == url
    listed = functions.list_function_url_configs(FunctionName=function)["FunctionUrlConfigs"]
    assert [config["FunctionUrl"] for config in listed] == [url]
    assert functions.update_function_url_config(FunctionName=function, AuthType="NONE")["FunctionUrl"] == url


def test_answers_unsigned_requests(url: str) -> None:
    answer = httpx.get(f"{url}dogs/3?size=big", headers={"Authorization": "Bearer of-its-own"})
    assert (answer.status_code, answer.headers["X-Seen"]) == (201, "yes")
    assert answer.json() == {
        "method": "GET",
        "path": "/dogs/3",
        "query": {"size": "big"},
        "authorization": "Bearer of-its-own",
        "account": "anonymous",
        "body": None,
    }
    assert httpx.post(url, json={"dog": 1}).json()["body"] == '{"dog":1}'
    assert httpx.post(url, content=b"\xff\xd8", headers={"Content-Type": "image/jpeg"}).json()["body"] == "\xff\xd8"


@pytest.mark.parametrize("path", ["/_ministack/reset", "/_localstack/health", "/2015-03-31/functions", "/bucket/key"])
def test_opens_nothing_else_to_those_who_name_it_as_their_host(url: str, local_aws: LocalAws, path: str) -> None:
    host = f"{url.rstrip('/').rsplit('/', 1)[1]}.lambda-url.us-east-1.on.aws"
    answer = httpx.post(f"{local_aws.url}{path}", headers={"Host": host})
    assert (answer.status_code, answer.json()["path"]) == (201, path)


def test_stays_closed_while_its_callers_must_sign(functions: Any, function: str, url: str) -> None:
    functions.update_function_url_config(FunctionName=function, AuthType="AWS_IAM")
    try:
        assert httpx.get(url).status_code == 403
    finally:
        functions.update_function_url_config(FunctionName=function, AuthType="NONE")
    functions.remove_permission(FunctionName=function, StatementId="everybody")
    try:
        assert httpx.get(url).status_code == 403
    finally:
        let_everybody_in(functions, function)
