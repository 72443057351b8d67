"""The server as a process: start, what it keeps, what it opens, stop."""

import contextlib
import io
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from botocore.exceptions import ClientError

from tests.conftest import REPOSITORY, LocalAws, running_local_aws, start_local_aws

FUNCTION = """
import boto3, os, tempfile

def handler(event, context):
    s3 = boto3.client("s3")
    try:
        s3.delete_object(Bucket="kept", Key="photo")
        refused = ""
    except s3.exceptions.ClientError as error:
        refused = error.response["Error"]["Code"]
    return {
        "caller": boto3.client("sts").get_caller_identity()["Arn"],
        "photo": s3.get_object(Bucket="kept", Key="photo")["Body"].read().decode(),
        "refused": refused,
        "directory": tempfile.gettempdir(),
    }
"""
TEMPLATE = {
    "Resources": {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "RoleName": "reader",
                "AssumeRolePolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "lambda.amazonaws.com"},
                            "Action": "sts:AssumeRole",
                        }
                    ],
                },
                "Policies": [
                    {
                        "PolicyName": "read",
                        "PolicyDocument": {
                            "Version": "2012-10-17",
                            "Statement": [
                                {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::kept/*"},
                            ],
                        },
                    }
                ],
            },
        }
    },
    "Outputs": {"RoleArn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}}},
}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A server that is expected to end by itself."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LOCALAWS_"))}
    command = [sys.executable, "-m", "localaws", *arguments]
    return subprocess.run(
        command, env=kept | environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )


def invoke(local: LocalAws) -> dict[str, Any]:
    answer = local.client("lambda").invoke(FunctionName="reads", Payload=b"{}")
    assert "FunctionError" not in answer
    payload: dict[str, Any] = json.loads(answer["Payload"].read())
    return payload


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / "home"


@pytest.fixture(scope="module")
def filled(home: Path) -> Iterator[LocalAws]:
    """A server that was filled, in an environment with a key and a proxy of its own, and started again."""
    caller = {"AWS_ACCESS_KEY_ID": "AKIACALLERCALLER2345", "AWS_SECRET_ACCESS_KEY": "x" * 40}
    with running_local_aws(home, HTTP_PROXY="http://127.0.0.1:9", **caller) as local:
        fill(local)
        invoke(local)
        session = local.role({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})
        workers = psutil.Process(local.process.pid).children(recursive=True)
        assert workers
        key = (home / "credentials").read_text()
    assert not any(worker.is_running() for worker in workers)
    with running_local_aws(home) as again:
        assert (home / "credentials").read_text() == key
        assert again.client("s3", **session).get_object(Bucket="kept", Key="photo")["Body"].read() == b"a dog"
        yield again


def fill(local: LocalAws) -> None:
    """Put something into S3, IAM, CloudFormation, Lambda and SageMaker."""
    s3 = local.client("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="photo", Body=b"a dog")
    formation = local.client("cloudformation")
    formation.create_stack(StackName="roles", TemplateBody=json.dumps(TEMPLATE), Capabilities=["CAPABILITY_NAMED_IAM"])
    formation.get_waiter("stack_create_complete").wait(StackName="roles", WaiterConfig={"Delay": 1})
    (output,) = formation.describe_stacks(StackName="roles")["Stacks"][0]["Outputs"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("code.py", FUNCTION)
    functions = local.client("lambda")
    functions.create_function(
        FunctionName="reads",
        Runtime="python3.11",
        Handler="code.handler",
        Role=output["OutputValue"],
        Code={"ZipFile": code.getvalue()},
        Timeout=30,
    )
    functions.get_waiter("function_active_v2").wait(FunctionName="reads", WaiterConfig={"Delay": 1})
    local.client("sagemaker").create_model(ModelName="kept", PrimaryContainer={"Image": "image:1"})


def test_keeps_everything_across_a_restart(filled: LocalAws) -> None:
    assert filled.client("s3").get_object(Bucket="kept", Key="photo")["Body"].read() == b"a dog"
    assert filled.client("iam").get_role(RoleName="reader")["Role"]["RoleName"] == "reader"
    assert filled.client("sagemaker").describe_model(ModelName="kept")["PrimaryContainer"] == {"Image": "image:1"}
    stack = filled.client("cloudformation").describe_stacks(StackName="roles")["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"


def test_a_function_calls_back_with_its_roles_rights(filled: LocalAws) -> None:
    answer = invoke(filled)
    assert answer["caller"] == "arn:aws:sts::000000000000:assumed-role/reader/reads"
    assert answer["photo"] == "a dog"
    assert answer["refused"] == "AccessDenied"
    assert Path(answer["directory"]).is_relative_to(filled.home)


def test_opens_nothing_but_its_port_on_the_loopback_address(filled: LocalAws) -> None:
    process = psutil.Process(filled.process.pid)
    listening = {one.laddr for one in process.net_connections(kind="inet") if one.status == psutil.CONN_LISTEN}
    url = httpx.URL(filled.url)
    assert listening == {(url.host, url.port)}
    assert url.host == "127.0.0.1"


def test_its_files_are_for_their_owner_only(filled: LocalAws) -> None:
    modes = []
    for path in filled.home.rglob("*"):
        if path.name != "log":
            with contextlib.suppress(FileNotFoundError):  # it is at work
                modes.append(stat.S_IMODE(path.stat().st_mode) & 0o077)
    assert len(modes) > 10
    assert set(modes) == {0}
    assert filled.env["AWS_ACCESS_KEY_ID"].startswith("AKIA")
    assert len(filled.env["AWS_SECRET_ACCESS_KEY"]) == 40


def test_the_key_of_the_environment_it_is_started_in_opens_nothing(tmp_path: Path) -> None:
    caller = {"AWS_ACCESS_KEY_ID": "AKIACALLERCALLER2345", "AWS_SECRET_ACCESS_KEY": "y" * 40}
    with running_local_aws(tmp_path / "home", **caller) as local:
        client = local.client("sts", **{name.lower(): value for name, value in caller.items()})
        with pytest.raises(ClientError, match="InvalidClientTokenId"):
            client.get_caller_identity()
        assert local.client("sts").get_caller_identity()["Arn"] == "arn:aws:iam::000000000000:root"


def test_a_deleted_root_key_is_replaced_and_opens_nothing(tmp_path: Path) -> None:
    with running_local_aws(tmp_path / "home") as local:
        local.client("sts").get_caller_identity()
        old = {name.lower(): value for name, value in local.env.items() if "KEY" in name}
    (local.home / "credentials").unlink()
    with running_local_aws(local.home) as again:
        assert again.env["AWS_ACCESS_KEY_ID"] != old["aws_access_key_id"]
        with pytest.raises(ClientError, match="InvalidClientTokenId"):
            again.client("sts", **old).get_caller_identity()


def test_writes_no_secret_to_its_log(filled: LocalAws) -> None:
    assert filled.env["AWS_SECRET_ACCESS_KEY"] not in (filled.home / "log").read_text()


def test_writes_only_under_its_home(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with running_local_aws(tmp_path / "home", TMPDIR=str(elsewhere), HOME=str(elsewhere)) as local:
        local.client("s3").create_bucket(Bucket="somewhere")
    assert list(elsewhere.iterdir()) == []


def test_a_taken_port_ends_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("--port", port, "--home", str(tmp_path))
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "--port" in ended.stderr


def test_a_home_in_use_ends_in_one_line(filled: LocalAws) -> None:
    ended = run("--port", "0", "--home", str(filled.home))
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "is in use by a running localaws" in ended.stderr


def test_a_broken_key_file_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[other]\n")
    ended = run("--port", "0", LOCALAWS_HOME=str(tmp_path))
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "delete it" in ended.stderr


def test_a_wrong_clock_speed_ends_in_one_line(tmp_path: Path) -> None:
    ended = run("--port", "0", "--home", str(tmp_path), LOCALAWS_CLOCK_SPEED="fast")
    assert ended.returncode == 2
    assert ended.stderr == "localaws: LOCALAWS_CLOCK_SPEED is 'fast'; it must be a number from 1 to 60\n"


def test_no_home_ends_in_a_line_that_names_it() -> None:
    ended = run("--port", "0")
    assert ended.returncode == 2
    assert "LOCALAWS_HOME" in ended.stderr.splitlines()[-1]


def test_stops_on_an_interrupt(tmp_path: Path) -> None:
    local = start_local_aws(tmp_path / "home")
    local.process.send_signal(signal.SIGINT)
    assert local.process.wait(timeout=30) == 0


def test_an_operation_that_is_not_built_is_named(local_aws: LocalAws) -> None:
    with pytest.raises(ClientError, match="ListApps") as caught:
        local_aws.client("sagemaker").list_apps()
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"


def test_a_service_that_is_not_here_is_named(local_aws: LocalAws) -> None:
    with pytest.raises(ClientError, match="pricing") as caught:
        local_aws.client("pricing").describe_services()
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"


def test_a_websocket_is_refused(local_aws: LocalAws) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert httpx.get(f"{local_aws.url}/_aws/execute-api/a/b", headers=upgrade).status_code == 403
