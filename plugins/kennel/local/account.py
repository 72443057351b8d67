"""What the local account must hold before Airflow can work in it: the foundation stack and Airflow's user."""

import configparser
import contextlib
import io
import json
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from kennel.config import ROOT
from kennel.local.aws import LocalAws
from kennel.local.errors import RunFailedError
from kennel.local.state import Home, write_private
from kennel.names import Names

TEMPLATE = ROOT / "infra" / "foundation.yaml"


def prepare(aws: LocalAws) -> None:
    """Bring the account to what `infra/foundation.yaml` says and give Airflow its key. Leaves alone what is right."""
    deploy_foundation(aws.client, aws.names)
    create_operator(aws)


def deploy_foundation(client: Callable[[str], Any], names: Names) -> None:
    """Create the CloudFormation stack, or update it when template or parameters differ.

    `client` makes a client of a service. Raises RunFailedError with CloudFormation's own reason when the stack does not
    come up.
    """
    cloudformation = client("cloudformation")
    # the loopback has no TLS
    parameters = {"Classifier": names.classifier, "VpcId": default_vpc(client("ec2")), "RequireTls": "false"}
    stack = {
        "StackName": names.stack,
        "TemplateBody": TEMPLATE.read_text(),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    }
    try:
        cloudformation.create_stack(**stack)
    except cloudformation.exceptions.AlreadyExistsException:
        try:
            cloudformation.update_stack(**stack)
        except ClientError as error:
            if "No updates are to be performed" in error.response["Error"]["Message"]:
                return
            raise
    _wait_for_stack(cloudformation, names.stack)


def default_vpc(ec2: Any) -> str:
    """The id of the account's default VPC. Raises RunFailedError when it has none."""
    found = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not found:
        raise RunFailedError('The account has no default VPC: make one with "aws ec2 create-default-vpc".')
    return str(found[0]["VpcId"])


def _wait_for_stack(cloudformation: Any, name: str) -> None:
    while True:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        status = stack["StackStatus"]
        if status in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            return
        if not status.endswith("IN_PROGRESS"):
            reason = stack.get("StackStatusReason") or "no reason given"
            raise RunFailedError(f"The foundation stack {name} is {status}: {reason}")
        time.sleep(0.1)


def create_operator(aws: LocalAws) -> None:
    """The user that Airflow runs as, whose one right is to assume the role `...-airflow`, and its key on this disk."""
    iam = aws.client("iam")
    user = f"{aws.names.stack}-operator"
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_user(UserName=user)
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": aws.names.role_arn("airflow")}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=user, PolicyName="assume-airflow-role", PolicyDocument=policy)
    known = [key["AccessKeyId"] for key in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]]
    if _kept_key(aws.home) in known:
        return
    for key_id in known:
        iam.delete_access_key(UserName=user, AccessKeyId=key_id)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    _keep_key(aws.home, key["AccessKeyId"], key["SecretAccessKey"])


def _kept_key(home: Home) -> str | None:
    keys = configparser.RawConfigParser()
    keys.read(home.airflow_keys)
    return keys.get("default", "aws_access_key_id", fallback=None)


def _keep_key(home: Home, key_id: str, secret: str) -> None:
    keys = configparser.RawConfigParser()
    keys["default"] = {"aws_access_key_id": key_id, "aws_secret_access_key": secret}
    text = io.StringIO()
    keys.write(text)
    write_private(home.airflow_keys, text.getvalue())
