"""Where MiniStack answers as AWS would not, put right from outside."""

import json
from typing import Any
from urllib.parse import parse_qs

from ministack.core import iam_actions, router

# Operations of Lambda whose IAM action has another name (Service Authorization Reference).
LAMBDA_ACTIONS = {"Invoke": "InvokeFunction", "InvokeWithResponseStream": "InvokeFunction"}


def apply() -> None:
    """Make the corrections. They are looked up when a request comes, so any time before that will do."""
    # Asked whether a name is an AWS service, MiniStack parses all of botocore's models: 12 s and 430 MB.
    router._KNOWN_AWS_SERVICE_NAMES = _EveryName()
    # Its own table takes GetAlias for ListAliases, PutProvisionedConcurrencyConfig for UpdateFunctionCode, and more.
    iam_actions._BOTOCORE_SERVICE_MAP["lambda"] = ["lambda"]
    iam_actions._lambda_action = _lambda_action
    iam_actions.extract_resource_arn = _with_named_resources(iam_actions.extract_resource_arn)


class _EveryName:
    """Whatever a request is signed for is the name of a service."""

    def __contains__(self, name: object) -> bool:
        return True


def _lambda_action(method: str, path: str) -> str | None:
    operation: str | None = iam_actions._match_rest_action("lambda", method, path, {})
    return LAMBDA_ACTIONS.get(operation, operation) if operation else None


def _with_named_resources(extract: Any) -> Any:
    """The ARN in a request's body where AWS decides on it and MiniStack on `*`."""

    def extract_resource_arn(
        service: str, method: str, path: str, headers: Any, body: bytes, query: Any, region: str, account_id: str
    ) -> str:
        if service == "lambda" and method == "POST" and path.rstrip("/").endswith("/functions"):
            try:
                return f"arn:aws:lambda:{region}:{account_id}:function:{json.loads(body)['FunctionName']}"
            except (ValueError, KeyError, TypeError):
                return "*"
        if service == "iam" and (source := parse_qs(body.decode("latin-1")).get("PolicySourceArn")):
            return source[0]
        return str(extract(service, method, path, headers, body, query, region, account_id))

    return extract_resource_arn
