"""What Lambda calls: reads the event, answers in the shape Lambda's HTTP front doors want, and keeps the log."""

import base64
import functools
import json
import os
from typing import Any

from .config import Settings
from .endpoint import Runtime
from .errors import BadRequestError, InvocationError
from .logic import Classification, Request, classify

HEADERS = {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"}
HEADER_PREDICTIONS = 10
LONGEST_ANSWER_SECONDS = 60.0  # SageMaker gives a container no more
SECONDS_TO_ANSWER = 0.5  # kept back, so that running out of time is an answer and not the function being killed


def lambda_handler(event: object, context: Any) -> dict[str, Any]:
    """Raises ConfigurationError; every other failure is an answer. The package's docstring describes both."""
    settings = Settings.from_environ(os.environ)
    record: dict[str, Any] = {"level": "INFO", "request_id": getattr(context, "aws_request_id", None)}
    try:
        request = Request.parse(_document(event))
        record["photo"] = request.source
        found = classify(request, settings, _runtime(settings.runtime_url), _seconds_left(context))
        record |= {"status": 200, **found.facts, "best": found.predictions[0]}
        return _answer(
            found, context, settings.debug_response, rest_api=isinstance(event, dict) and "httpMethod" in event
        )
    except InvocationError as error:
        record |= {"level": "ERROR" if error.status >= 500 else "WARNING", "status": error.status, "code": error.code}
        record |= {"message": str(error), **error.detail}
        return _refusal(error.status, error.code, str(error))
    except Exception as error:
        import traceback  # takes a while, and is seldom needed

        record |= {"level": "ERROR", "status": 500, "code": "internal_error"}
        record |= {"message": repr(error), "traceback": traceback.format_exc()}
        return _refusal(500, "internal_error", "the function failed: the reason is in its log")
    finally:
        print(json.dumps(record, default=str))


def _document(event: object) -> object:
    """The caller's input: the event itself, or the JSON body of one that came over HTTP."""
    if not isinstance(event, dict) or event.keys().isdisjoint({"body", "requestContext"}):
        return event
    body = event.get("body")
    if not isinstance(body, str) or not body:
        raise BadRequestError('the request needs a JSON body such as {"url": "https://example.com/dog.jpg"}')
    try:
        return json.loads(base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body)
    except (ValueError, RecursionError) as error:
        raise BadRequestError("the request's body must be JSON") from error


def _answer(found: Classification, context: object, debug: bool, *, rest_api: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "statusCode": 200,
        "headers": {
            **HEADERS,
            "Access-Control-Expose-Headers": "X-Predictions",
            "X-Predictions": json.dumps(found.predictions[:HEADER_PREDICTIONS]),
        },
        "body": json.dumps([found.scores]),
    }
    if not rest_api:
        answer["predictions"] = found.predictions
    if debug and not rest_api:
        answer |= {"type-result": str(type(found.result)), "COntent-Type-In": str(context)}
    return answer


def _refusal(status: int, code: str, message: str) -> dict[str, Any]:
    return {"statusCode": status, "headers": HEADERS, "body": json.dumps({"error": {"code": code, "message": message}})}


@functools.cache
def _runtime(url: str) -> Runtime:
    """Kept between invocations, for its connection's sake."""
    return Runtime(url)


def _seconds_left(context: Any) -> float:
    """For photo and endpoint together; a context from outside Lambda has no clock."""
    clock = getattr(context, "get_remaining_time_in_millis", None)
    return LONGEST_ANSWER_SECONDS if clock is None else max(clock() / 1000 - SECONDS_TO_ANSWER, 0.1)
