"""Function URLs, which answer at this server's own address: `http://127.0.0.1:4566/_aws/lambda-url/<id>/`.

One that its owner has opened to everybody is the only thing here that is served unsigned: as on AWS, its AuthType is
NONE and the function's policy lets anybody call lambda:InvokeFunctionUrl.
https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
"""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import ministack.app
from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy

from localaws.protocols import Answer
from localaws.signatures import SignedRequest

CONFIG = re.compile(r"/2021-10-31/functions/[^/]+/urls?")
FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)


def with_addresses(lambda_: Callable[..., Awaitable[Answer]], server: str) -> Callable[..., Awaitable[Answer]]:
    """MiniStack's Lambda, telling where `server` answers for a function and not where AWS does."""

    async def handle(method: str, path: str, *rest: Any) -> Answer:
        status, headers, body = await lambda_(method, path, *rest)
        if CONFIG.fullmatch(path) and method != "DELETE" and status < 300:
            told = json.loads(body)
            for config in told.get("FunctionUrlConfigs", [told]):
                url_id = config["FunctionUrl"].removeprefix("https://").partition(".")[0]
                config["FunctionUrl"] = f"{server}/_aws/lambda-url/{url_id}/"
            body = json.dumps(told).encode()
        return status, headers, body

    return handle


async def answer(path: str, request: SignedRequest) -> Answer | None:
    """What a function with a URL for everybody answers; None when the request is not for such a one."""
    place = ministack.app._parse_lambda_url(request.headers.get("host", ""), path)
    if place is None:
        return None
    from ministack.services import lambda_svc  # 20 MB

    found = lambda_svc.resolve_function_url(place[0])
    if found is None or found[4].get("AuthType") != "NONE":
        return None
    account_id, region, name, qualifier, _ = found
    arn = f"arn:aws:lambda:{region}:{account_id}:function:{name}" + (f":{qualifier}" if qualifier else "")
    if not _lets_anybody_in(lambda_svc.function_policy_for_arn(arn), arn, region):
        body = json.dumps({"Message": FORBIDDEN}).encode()
        return 403, {"Content-Type": "application/json", "x-amzn-ErrorType": "AccessDeniedException"}, body
    answered: Answer = await lambda_svc.handle_function_url_request(
        place[0], request.method, place[1], request.headers, request.body, request.query, resolved=found
    )
    return answered


def _lets_anybody_in(policy: tuple[Any, str] | None, arn: str, region: str) -> bool:
    anybody = EvalContext(
        principal_arn="",
        principal_type="Anonymous",
        principal_account="",
        action="lambda:InvokeFunctionUrl",
        resource_arn=arn,
        region=region,
        service_context={"lambda:functionurlauthtype": "NONE"},
    )
    return policy is not None and evaluate_resource_policy(policy[0], anybody).decision == "Allow"
