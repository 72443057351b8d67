"""AWS's two JSON protocols on the wire: `json` (the operation in X-Amz-Target) and `rest-json` (in the path)."""

import functools
import json
import re
from dataclasses import dataclass, field
from typing import Any

from localaws.cloud import Request, Response
from localaws.errors import AwsError
from localaws.validation import service_model

JSON = "application/x-amz-json-1.1"

# Status, headers, body: what MiniStack sends on.
Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True)
class HttpRequest:
    """A request as MiniStack hands it to a service: header names in lower case, the path decoded."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query: dict[str, list[str]] = field(default_factory=dict)


def read_json(http: HttpRequest) -> tuple[str, Request]:
    """The operation and the request of a `json` call. Raises SerializationException for a body that is no object."""
    try:
        request = json.loads(http.body or b"{}", parse_constant=_refuse)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise AwsError("SerializationException", "The request's body must be a JSON object.")
    return http.headers["x-amz-target"].partition(".")[2], request


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is Python's, not JSON's")


def write_json(result: Response) -> Answer:
    """The answer to a `json` call."""
    return 200, {"Content-Type": JSON}, json.dumps(result).encode()


def read_rest(service: str, http: HttpRequest) -> tuple[str, Request]:
    """The operation and the request of a `rest-json` call. Raises UnknownOperationException for a path of none."""
    for operation, method, path in _routes(service):
        found = path.fullmatch(http.path)
        if found and method == http.method:
            return operation, {**found.groupdict(), **_parts(service, operation, http)}
    raise AwsError("UnknownOperationException", f"{service} has no {http.method} {http.path}.", 404)


def write_rest(service: str, operation: str, result: Response) -> Answer:
    """The answer to a `rest-json` call: its payload as the body, its other members as headers."""
    model = service_model(service).operation_model(operation)
    shape = model.output_shape
    headers = {
        member.serialization["name"]: str(result[name])
        for name, member in shape.members.items()
        if member.serialization.get("location") == "header" and result.get(name) is not None
    }
    return model.http.get("responseCode", 200), headers, result[shape.serialization["payload"]]


def write_error(error: AwsError) -> Answer:
    """An error, in the shape that both protocols share."""
    body = {"__type": error.code, "message": error.message, **error.members}
    return error.status, {"Content-Type": JSON, "x-amzn-errortype": error.code}, json.dumps(body).encode()


@functools.cache
def _routes(service: str) -> list[tuple[str, str, re.Pattern[str]]]:
    """Operation, HTTP method and path of each operation; a label of the path is a group of the pattern."""
    model = service_model(service)
    operations = [(name, model.operation_model(name).http) for name in model.operation_names]
    return [
        (name, http["method"], re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", http["requestUri"])))
        for name, http in operations
    ]


def _parts(service: str, operation: str, http: HttpRequest) -> dict[str, Any]:
    shape = service_model(service).operation_model(operation).input_shape
    parts: dict[str, Any] = {
        name: http.headers[member.serialization["name"].lower()]
        for name, member in shape.members.items()
        if member.serialization.get("location") == "header" and member.serialization["name"].lower() in http.headers
    }
    if payload := shape.serialization.get("payload"):
        parts[payload] = http.body
    return parts
