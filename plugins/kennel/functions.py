"""A function's alias: which version it calls, what is kept warm for it, and asking it."""

import json
from dataclasses import dataclass
from typing import Any

from airflow.sdk.exceptions import AirflowException
from botocore.exceptions import ClientError, WaiterError
from botocore.waiter import WaiterModel, create_waiter_with_client

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


@dataclass(frozen=True)
class Alias:
    """An alias of a function, by a boto3 client of Lambda. It need not be there yet."""

    client: Any
    function: str
    name: str

    @property
    def version(self) -> str | None:
        """The version it calls; None when there is no such alias."""
        try:
            return str(self.client.get_alias(FunctionName=self.function, Name=self.name)["FunctionVersion"])
        except self.client.exceptions.ResourceNotFoundException:
            return None

    def point(self, version: str) -> bool:
        """Let it call a version; False when it does already."""
        current = self.version
        if current == version:
            return False
        request = {"FunctionName": self.function, "Name": self.name, "FunctionVersion": version}
        if current is None:
            try:
                self.client.create_alias(**request)
            except self.client.exceptions.ResourceConflictException:  # the answer to an earlier request was lost
                self.client.update_alias(**request)
        else:
            self.client.update_alias(**request)
        return True

    def delete(self) -> None:
        """Take it away, and what is kept warm for it; AWS takes a missing one for deleted."""
        if self.version is not None:
            self.provision(0)
            self.client.delete_alias(FunctionName=self.function, Name=self.name)

    @property
    def provisioned(self) -> int:
        """How many instances were asked to be kept warm."""
        return int(self._provisioned()["RequestedProvisionedConcurrentExecutions"])

    def provision(self, count: int) -> bool:
        """Keep so many warm, and wait for them; False when that was so already. Raises when AWS does not give them."""
        current = self._provisioned()
        asked = current["RequestedProvisionedConcurrentExecutions"]
        if not count:
            if asked:
                self.client.delete_provisioned_concurrency_config(**self._qualified)
            return bool(asked)
        changed: bool = asked != count or current["Status"] == "FAILED"
        if changed:
            self.client.put_provisioned_concurrency_config(**self._qualified, ProvisionedConcurrentExecutions=count)
        try:
            create_waiter_with_client("Provisioned", PROVISIONED, self.client).wait(**self._qualified)
        except WaiterError as error:
            reason = error.last_response.get("StatusReason", error)
            raise AirflowException(
                f"{self.function}:{self.name} does not get its provisioned concurrency: {reason}"
            ) from error
        return changed

    def ask(self, event: dict[str, Any]) -> dict[str, Any]:
        """The function's answer. Raises when the function itself fails."""
        answer = self.client.invoke(FunctionName=self.function, Qualifier=self.name, Payload=json.dumps(event))
        content: dict[str, Any] = json.load(answer["Payload"])
        if "FunctionError" in answer:
            raise AirflowException(f"the function {self.function} failed: {content.get('errorMessage', content)}")
        return content

    @property
    def _qualified(self) -> dict[str, str]:
        return {"FunctionName": self.function, "Qualifier": self.name}

    def _provisioned(self) -> dict[str, Any]:
        try:
            return dict(self.client.get_provisioned_concurrency_config(**self._qualified))
        except ClientError as error:
            # of an alias that is not there it says ResourceNotFoundException
            if not error.response["Error"]["Code"].endswith("NotFoundException"):
                raise
            return {"RequestedProvisionedConcurrentExecutions": 0, "Status": "READY"}
