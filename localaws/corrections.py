"""Where MiniStack answers as AWS would not, put right from outside."""

import base64
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import ministack.app
from ministack.core import iam_actions, lambda_runtime, router
from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch, lambda_svc, s3, sts

from localaws import alarms, managed_policies
from localaws.clock import shortened
from localaws.protocols import Answer

OURS = ("sagemaker", "application-autoscaling", "servicequotas")  # services whose answers are written here
# Operations of Lambda whose IAM action has another name (Service Authorization Reference).
LAMBDA_ACTIONS = {"Invoke": "InvokeFunction", "InvokeWithResponseStream": "InvokeFunction"}
# Kinds of things that EC2 tags, by the beginnings of their ids.
TAGGED = {"i": "instance", "vol": "volume", "sg": "security-group"}
# What AWS's runtime does before it loads a function: the root logger writes to the function's log, in this form.
# https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
LAMBDA_LOGGING = """
import logging, sys, time

class LambdaLogging(logging.StreamHandler):
    request_id = ""

    def filter(self, record):
        record.aws_request_id = LambdaLogging.request_id
        return True

def log_as_lambda():
    form = "[%(levelname)s]\\t%(asctime)s.%(msecs)03dZ\\t%(aws_request_id)s\\t%(message)s"
    formatter = logging.Formatter(form, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = LambdaLogging(sys.stderr)
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)

log_as_lambda()
"""
_CONTEXT = '_ms_ctx = _ms_msg.get("ctx") or {}'  # where MiniStack's script has read the request


def apply() -> None:
    """Make the corrections, before MiniStack starts and so reads what it kept."""
    # Asked whether a name is an AWS service, MiniStack parses all of botocore's models: 12 s and 430 MB.
    router._KNOWN_AWS_SERVICE_NAMES = _EveryName()
    # Its own table takes GetAlias for ListAliases, PutProvisionedConcurrencyConfig for UpdateFunctionCode, and more.
    iam_actions._BOTOCORE_SERVICE_MAP["lambda"] = ["lambda"]
    iam_actions._lambda_action = _lambda_action
    iam_actions.extract_resource_arn = _with_named_resources(iam_actions.extract_resource_arn)
    iam_actions.extract_iam_action = _with_deleted_versions(iam_actions.extract_iam_action)
    iam_actions.request_tag_context = _with_namespaces(iam_actions.request_tag_context)
    # It refuses aws:kms without a key, for which AWS takes the key it keeps for S3 in each account.
    s3._resolve_sse_write_headers = _with_the_accounts_key(s3._resolve_sse_write_headers)
    managed_policies.add()
    # What a function says through Python's logging is lost with it.
    lambda_runtime._PYTHON_WORKER_SCRIPT = LAMBDA_LOGGING + lambda_runtime._PYTHON_WORKER_SCRIPT.replace(
        _CONTEXT, f'{_CONTEXT}; LambdaLogging.request_id = _ms_ctx.get("request_id", "")'
    )
    lambda_svc._reserved_concurrency = _of_the_function(lambda_svc._reserved_concurrency)
    cloudwatch._evaluate_alarm = alarms.evaluate
    # Datapoints of shorter minutes come the faster, and are kept the shorter.
    cloudwatch.TWO_WEEKS_SECONDS = shortened(cloudwatch.TWO_WEEKS_SECONDS)
    # It takes what an endpoint's model answers for an answer of SageMaker's own, and gives it the type of those.
    for name in ("fix_success_content_type", "fix_error_content_type"):
        setattr(ministack.app, name, _but_for_ours(getattr(ministack.app, name)))
    # It forgets on a restart who has assumed which role.
    sts.get_state = lambda: {"sessions": {k: v for k, v in sts._sessions.items() if v.get("PrincipalType") != "Root"}}
    sts.load_persisted_state = lambda state: sts._sessions.update(state.get("sessions", {}))


def with_log_tails(lambda_: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Answer]]:
    """MiniStack's Lambda, which leaves LogResult out where a function printed nothing; on AWS it is never empty."""

    async def handle(method: str, path: str, headers: dict[str, str], *rest: Any) -> Answer:
        status, answered, body = await lambda_(method, path, headers, *rest)
        if headers.get("x-amz-log-type") == "Tail" and status == 200:
            request_id = answered.get("x-amzn-RequestId") or str(uuid.uuid4())
            frame = f"START RequestId: {request_id} Version: $LATEST\nEND RequestId: {request_id}\n"
            answered.setdefault("X-Amz-Log-Result", base64.b64encode(frame.encode()).decode())
        return status, answered, body

    return handle


def _but_for_ours(fix: Callable[..., None]) -> Callable[..., None]:
    def fix_content_type(service: str, status: int, headers: dict[str, str]) -> None:
        if service not in OURS:
            fix(service, status, headers)

    return fix_content_type


class _EveryName:
    """Whatever a request is signed for is the name of a service."""

    def __contains__(self, name: object) -> bool:
        return True


def _of_the_function(reserved: Callable[..., int | None]) -> Callable[..., int | None]:
    """A version has the concurrency of its function, not what that had when the version was published."""

    def reserved_concurrency(func: Any, config: dict[str, Any]) -> int | None:
        return reserved(lambda_svc._functions.get(config["FunctionName"]) or func, config)

    return reserved_concurrency


def _lambda_action(method: str, path: str) -> str | None:
    operation: str | None = iam_actions._match_rest_action("lambda", method, path, {})
    return LAMBDA_ACTIONS.get(operation or "", operation)


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
        if service == "monitoring" and headers.get("x-amz-target", "").endswith((".DescribeAlarms", ".DeleteAlarms")):
            return f"arn:aws:cloudwatch:{region}:{account_id}:alarm:{_alarm(body)}"
        if service == "ec2" and query.get("Action") in (["CreateTags"], ["DeleteTags"]):
            return _tagged(query, f"arn:aws:ec2:{region}:{account_id}:")
        arn = str(extract(service, method, path, headers, body, query, region, account_id))
        if service == "logs" and ":log-group:" in arn and not arn.endswith(":*"):
            return f"{arn}:log-stream:{json.loads(body).get('logStreamName', '')}"
        if service == "lambda" and (qualifier := query.get("Qualifier")):  # of a version or an alias
            return f"{arn}:{qualifier[0]}"
        # The parameters that AWS publishes belong to no account.
        return arn.replace(f":{account_id}:parameter/aws/service/", "::parameter/aws/service/")

    return extract_resource_arn


def _tagged(query: dict[str, list[str]], stem: str) -> str:
    """The only thing that a request tags, else `*`."""
    ids = [values[0] for name, values in query.items() if name.startswith("ResourceId.")]
    kind = TAGGED.get(ids[0].partition("-")[0]) if len(ids) == 1 else None
    return f"{stem}{kind}/{ids[0]}" if kind else "*"


def _with_deleted_versions(extract: Any) -> Any:
    """Of DeleteObjects MiniStack takes the first entry for an object's deletion, though it names a version."""

    def extract_iam_action(service: str, method: str, path: str, headers: Any, body: bytes, query: Any) -> str | None:
        action: str | None = extract(service, method, path, headers, body, query)
        if service == "s3" and method == "POST" and action == "s3:DeleteObject":
            first = next(iter(iam_actions._s3_batch_delete_targets("", body)), None)
            return "s3:DeleteObjectVersion" if first and first[1] else action
        return action

    return extract_iam_action


def _with_namespaces(context: Any) -> Any:
    """The condition keys of a request, with `cloudwatch:namespace` where it publishes metrics."""

    def request_context(service: str, iam_action: str, body: bytes, params: Any) -> dict[str, Any]:
        namespace = iam_action == "cloudwatch:PutMetricData" and iam_actions._param(body, params, "Namespace")
        return {
            **context(service, iam_action, body, params),
            **({"cloudwatch:namespace": namespace} if namespace else {}),
        }

    return request_context


def _alarm(body: bytes) -> str:
    """The only alarm that a request names, else `*`."""
    try:
        [name] = json.loads(body)["AlarmNames"]
    except (ValueError, KeyError, TypeError):
        return "*"
    return str(name)


def _with_the_accounts_key(resolve: Any) -> Any:
    def resolve_sse_write_headers(headers: dict[str, str], bucket_name: str) -> Any:
        key = "x-amz-server-side-encryption-aws-kms-key-id"
        if headers.get("x-amz-server-side-encryption") == "aws:kms" and not headers.get(key):
            headers = {**headers, key: f"arn:aws:kms:{get_region()}:{get_account_id()}:alias/aws/s3"}
        return resolve(headers, bucket_name)

    return resolve_sse_write_headers
