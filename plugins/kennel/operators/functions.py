"""Deploying the Lambda function; the provider only creates, and waits without an end in sight."""

import base64
import contextlib
import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow.providers.amazon.aws.hooks.lambda_function import LambdaHook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException

from kennel.functions import Alias

# Zip files carry times; one that never changes makes equal code an equal archive. It is the earliest that zip knows.
EPOCH = (1980, 1, 1, 0, 0, 0)


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
        """Return `{"name", "alias", "version", "provisioned_concurrency", "changed"}`."""
        client, alias = self.hook.conn, Alias(self.hook.conn, self.name, self.alias)
        updated = self._create_or_update(archive(self.package))
        current = alias.version
        # $LATEST may also differ because an earlier try ended before it published.
        version = self._publish() if updated or current is None or not self._is_latest(current) else current
        changed = [updated, alias.point(version)]
        try:
            changed += [self._reserve(), alias.provision(self.provisioned_concurrency)]
        except client.exceptions.InvalidParameterValueException as error:
            raise AirflowException(
                f"{self.name} v{version}: AWS refuses the concurrency ({error.response['Error']['Message']}). "
                "A new account has 10 concurrent executions in all: raise the Lambda quota, "
                "or lower [function] in the classifier's TOML"
            ) from error
        if not any(changed):
            self.log.info("%s:%s is version %s, as asked: nothing to do", self.name, self.alias, version)
        return {
            "name": self.name,
            "alias": self.alias,
            "version": version,
            "provisioned_concurrency": self.provisioned_concurrency,
            "changed": any(changed),
        }

    def _create_or_update(self, code: bytes) -> bool:
        """Bring $LATEST to the code and configuration; True when that changed anything."""
        client = self.hook.conn
        if self._create(code):
            client.get_waiter("function_active_v2").wait(FunctionName=self.name)
            return True
        self._wait_until_updated()
        current = client.get_function_configuration(FunctionName=self.name)
        new_code = current["CodeSha256"] != base64.b64encode(hashlib.sha256(code).digest()).decode()
        if new_code:
            client.update_function_code(FunctionName=self.name, ZipFile=code)
            self._wait_until_updated()
        new_settings = any(current.get(key) != value for key, value in self.configuration.items())
        if new_settings:
            client.update_function_configuration(**self.configuration)
            self._wait_until_updated()
        return new_code or new_settings

    def _create(self, code: bytes) -> bool:
        """Create the function unless it is there, from before or by a request whose answer was lost."""
        client = self.hook.conn
        try:
            client.get_function_configuration(FunctionName=self.name)
        except client.exceptions.ResourceNotFoundException:
            with contextlib.suppress(client.exceptions.ResourceConflictException):
                client.create_function(**self.configuration, Code={"ZipFile": code})
            return True
        return False

    def _wait_until_updated(self) -> None:
        self.hook.conn.get_waiter("function_updated_v2").wait(FunctionName=self.name)

    def _publish(self) -> str:
        version = self.hook.conn.publish_version(FunctionName=self.name)["Version"]
        self.hook.conn.get_waiter("published_version_active").wait(FunctionName=self.name, Qualifier=version)
        return str(version)

    def _is_latest(self, version: str) -> bool:
        """Whether a version has $LATEST's code and settings."""
        ours = self.hook.conn.get_function_configuration(FunctionName=self.name, Qualifier=version)
        latest = self.hook.conn.get_function_configuration(FunctionName=self.name)
        return all(
            ours.get(key) == latest.get(key) for key in ("CodeSha256", *self.configuration) if key != "FunctionName"
        )

    def _reserve(self) -> bool:
        """Bring the reserved concurrency to what is asked; False when it is."""
        client = self.hook.conn
        current = client.get_function_concurrency(FunctionName=self.name).get("ReservedConcurrentExecutions", 0)
        if current == self.reserved_concurrency:
            return False
        if self.reserved_concurrency:
            client.put_function_concurrency(
                FunctionName=self.name, ReservedConcurrentExecutions=self.reserved_concurrency
            )
        else:
            client.delete_function_concurrency(FunctionName=self.name)
        return True
