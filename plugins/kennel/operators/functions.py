"""Deploying the Lambda function and invoking it; the provider only creates, and waits without an end in sight."""

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from airflow.providers.amazon.aws.hooks.lambda_function import LambdaHook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.operators.lambda_function import LambdaInvokeFunctionOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException
from botocore.exceptions import ClientError, WaiterError
from botocore.waiter import WaiterModel, create_waiter_with_client

# Zip files carry times; one that never changes makes equal code an equal archive. It is the earliest that zip knows.
EPOCH = (1980, 1, 1, 0, 0, 0)

# boto3 has no waiter for it. Ten minutes: AWS takes one or two.
PROVISIONED = WaiterModel(
    {
        "version": 2,
        "waiters": {
            "Provisioned": {
                "operation": "GetProvisionedConcurrencyConfig",
                "delay": 5,
                "maxAttempts": 120,
                "acceptors": [
                    {"matcher": "path", "argument": "Status", "expected": "READY", "state": "success"},
                    {"matcher": "path", "argument": "Status", "expected": "FAILED", "state": "failure"},
                ],
            }
        },
    }
)


def archive(package: Path) -> bytes:
    """A Python package as a zip: the same bytes for the same sources, wherever and whenever it is made."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for source in sorted(package.rglob("*.py")):
            info = zipfile.ZipInfo(source.relative_to(package.parent).as_posix(), EPOCH)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, source.read_bytes())
    return buffer.getvalue()


class DeployFunctionOperator(AwsBaseOperator[LambdaHook]):
    """Bring a function, its alias and its concurrency to what is asked; publish only what differs.

    Safe to run again at any point: each step looks at what is there first.

    :param configuration: what CreateFunction and UpdateFunctionConfiguration share (templated).
    :param package: the directory of the Python package that is the function's code.
    :param alias: the alias that callers use.
    :param provisioned_concurrency: instances kept warm for the alias; 0 for none.
    :param reserved_concurrency: the most instances at once; 0 for the account's own limit.
    """

    aws_hook_class = LambdaHook
    template_fields: Sequence[str] = aws_template_fields("configuration")

    def __init__(
        self,
        *,
        configuration: dict[str, Any],
        package: Path,
        alias: str,
        provisioned_concurrency: int,
        reserved_concurrency: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.configuration = configuration
        self.package = package
        self.alias = alias
        self.provisioned_concurrency = provisioned_concurrency
        self.reserved_concurrency = reserved_concurrency

    @property
    def name(self) -> str:
        """The function's name."""
        return str(self.configuration["FunctionName"])

    def execute(self, context: Context) -> dict[str, Any]:
        """Return `{"name", "alias", "version", "published", "provisioned_concurrency"}`."""
        changed = self._create_or_update(archive(self.package))
        version, published = self._publish(changed)
        self._point_alias(version)
        self._set_concurrency(version)
        return {
            "name": self.name,
            "alias": self.alias,
            "version": version,
            "published": published,
            "provisioned_concurrency": self.provisioned_concurrency,
        }

    def _create_or_update(self, code: bytes) -> bool:
        """Bring $LATEST to the code and configuration; True when that changed anything."""
        client = self.hook.conn
        try:
            current = client.get_function_configuration(FunctionName=self.name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            client.create_function(**self.configuration, Code={"ZipFile": code})
            client.get_waiter("function_active_v2").wait(FunctionName=self.name)
            return True
        self._wait_until_updated()
        new_code = current["CodeSha256"] != base64.b64encode(hashlib.sha256(code).digest()).decode()
        if new_code:
            client.update_function_code(FunctionName=self.name, ZipFile=code)
            self._wait_until_updated()
        new_settings = any(current.get(key) != value for key, value in self.configuration.items())
        if new_settings:
            client.update_function_configuration(**self.configuration)
            self._wait_until_updated()
        return new_code or new_settings

    def _wait_until_updated(self) -> None:
        self.hook.conn.get_waiter("function_updated_v2").wait(FunctionName=self.name)

    def _publish(self, changed: bool) -> tuple[str, bool]:
        """The version that is $LATEST's twin: the alias's own when nothing changed, else a new one."""
        current = self._alias()
        if current and not changed and self._is_latest(current):
            return current, False
        version = self.hook.conn.publish_version(FunctionName=self.name)["Version"]
        self.hook.conn.get_waiter("published_version_active").wait(FunctionName=self.name, Qualifier=version)
        return str(version), True

    def _is_latest(self, version: str) -> bool:
        """Whether a version has $LATEST's code and settings: an earlier try may have ended before it published."""
        ours = self.hook.conn.get_function_configuration(FunctionName=self.name, Qualifier=version)
        latest = self.hook.conn.get_function_configuration(FunctionName=self.name)
        return all(
            ours.get(key) == latest.get(key) for key in ("CodeSha256", *self.configuration) if key != "FunctionName"
        )

    def _alias(self) -> str | None:
        try:
            return str(self.hook.conn.get_alias(FunctionName=self.name, Name=self.alias)["FunctionVersion"])
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return None

    def _point_alias(self, version: str) -> None:
        current = self._alias()
        if current is None:
            self.hook.conn.create_alias(FunctionName=self.name, Name=self.alias, FunctionVersion=version)
        elif current != version:
            self.hook.conn.update_alias(FunctionName=self.name, Name=self.alias, FunctionVersion=version)

    def _set_concurrency(self, version: str) -> None:
        client = self.hook.conn
        try:
            if self.reserved_concurrency:
                client.put_function_concurrency(
                    FunctionName=self.name, ReservedConcurrentExecutions=self.reserved_concurrency
                )
            else:
                client.delete_function_concurrency(FunctionName=self.name)
            self._provision()
        except client.exceptions.InvalidParameterValueException as error:
            raise AirflowException(
                f"{self.name} v{version}: AWS refuses the concurrency ({error.response['Error']['Message']}). "
                "A new account has 10 concurrent executions in all: raise the Lambda quota, "
                "or lower [function] in the classifier's TOML"
            ) from error

    def _provision(self) -> None:
        client = self.hook.conn
        qualified = {"FunctionName": self.name, "Qualifier": self.alias}
        try:
            current = client.get_provisioned_concurrency_config(**qualified)
        except client.exceptions.ProvisionedConcurrencyConfigNotFoundException:
            current = {"RequestedProvisionedConcurrentExecutions": 0, "Status": "READY"}
        asked = current["RequestedProvisionedConcurrentExecutions"]
        if not self.provisioned_concurrency:
            if asked:
                client.delete_provisioned_concurrency_config(**qualified)
            return
        if asked != self.provisioned_concurrency or current["Status"] == "FAILED":
            client.put_provisioned_concurrency_config(
                **qualified, ProvisionedConcurrentExecutions=self.provisioned_concurrency
            )
        try:
            create_waiter_with_client("Provisioned", PROVISIONED, client).wait(**qualified)
        except WaiterError as error:
            reason = error.last_response.get("StatusReason", error)
            raise AirflowException(
                f"{self.name}:{self.alias} does not get its provisioned concurrency: {reason}"
            ) from error


class InvokeAndCheckOperator(LambdaInvokeFunctionOperator):
    """Invoke a function and hold its answer against a check.

    :param check: called with the decoded answer and the context; raises when the answer is not right.
    """

    def __init__(self, *, check: Callable[[dict[str, Any], Context], None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.check = check

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the function's answer, decoded."""
        answer: dict[str, Any] = json.loads(super().execute(context))
        self.check(answer, context)
        return answer
