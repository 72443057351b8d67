"""EC2's protocol on the wire, by botocore's model: a form in, XML out."""

import binascii
import contextlib
import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import botocore.parsers
import botocore.serialize
from ministack.services import ec2

from localaws.cloud import Request, Response
from localaws.errors import AwsError
from localaws.protocols import Answer, HttpRequest
from localaws.validation import service_model

NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
NUMBER = re.compile("[0-9]{1,6}")
# What no XML document may hold.
CONTROL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# EC2's names for what other services call otherwise.
CODES = {"AccessDeniedException": "UnauthorizedOperation", "InternalFailure": "InternalError"}


def form(http: HttpRequest) -> dict[str, str]:
    """The members of a call's form, those of the body before those of the address, as MiniStack reads them."""
    members = {name: values[0] for name, values in http.query.items() if values}
    if http.method in ("POST", "PUT"):
        members |= {name: values[0] for name, values in parse_qs(http.body.decode(errors="replace")).items()}
    return members


def read(members: Mapping[str, str]) -> Request:
    """The request of a call whose `Action` is an operation of EC2. What is no number stays text, to be refused."""
    tree: dict[str, Any] = {}
    for path, value in members.items():
        node = tree
        *parents, last = path.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise AwsError("MalformedQueryString", f"The parameter {path} contradicts another one.")
        node[last] = value
    shape = service_model("ec2").operation_model(members["Action"]).input_shape
    request: Request = _read(shape, tree)
    return request


def _read(shape: Any, node: Any) -> Any:
    kind = shape.type_name
    if kind == "structure" and isinstance(node, dict):
        names = {name: _form_name(name, member) for name, member in shape.members.items()}
        return {name: _read(shape.members[name], node[given]) for name, given in names.items() if given in node}
    if kind == "list" and isinstance(node, dict) and all(NUMBER.fullmatch(number) for number in node):
        return [_read(shape.member, node[number]) for number in sorted(node, key=int)]
    if isinstance(node, str):
        with contextlib.suppress(ValueError, KeyError, binascii.Error):
            if kind in ("integer", "long"):
                return int(node)
            if kind in ("float", "double"):
                return float(node)
            if kind == "boolean":
                return {"true": True, "false": False}[node.lower()]
    return node


def _form_name(name: str, member: Any) -> str:
    given: str = member.serialization.get("queryName") or member.serialization.get("name", name)
    return given[0].upper() + given[1:]


def write(operation: str, result: Response) -> Answer:
    """The answer to a call."""
    shape = service_model("ec2").operation_model(operation).output_shape
    members = _members(shape, result) if shape else "<return>true</return>"
    document = (
        f'<?xml version="1.0" encoding="UTF-8"?><{operation}Response xmlns="{NAMESPACE}">'
        f"<requestId>{uuid.uuid4()}</requestId>{members}</{operation}Response>"
    )
    return 200, {"Content-Type": "text/xml;charset=UTF-8"}, document.encode()


def _members(shape: Any, value: dict[str, Any]) -> str:
    return "".join(
        _element(member, value[name], member.serialization.get("name", name))
        for name, member in shape.members.items()
        if value.get(name) is not None
    )


def _element(shape: Any, value: Any, tag: str) -> str:
    if shape.type_name == "structure":
        inner = _members(shape, value)
    elif shape.type_name == "list":
        inner = "".join(_element(shape.member, item, shape.member.serialization.get("name", "item")) for item in value)
    elif shape.type_name == "boolean":
        inner = str(value).lower()
    elif isinstance(value, datetime):
        inner = value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    else:
        inner = _text(str(value))
    return f"<{tag}>{inner}</{tag}>"


def write_error(error: AwsError) -> Answer:
    """An error, in EC2's shape and names."""
    code, message = CODES.get(error.code, error.code), error.message
    if code == "ValidationException":
        code = "MissingParameter" if "must not be null" in message else "InvalidParameterValue"
    if code == "UnauthorizedOperation":
        message = f"You are not authorized to perform this operation. {message}"
    document = (
        f'<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>{_text(code)}</Code>'
        f"<Message>{_text(message)}</Message></Error></Errors><RequestID>{uuid.uuid4()}</RequestID></Response>"
    )
    status = 403 if code == "UnauthorizedOperation" else error.status
    return status, {"Content-Type": "text/xml;charset=UTF-8"}, document.encode()


def ministack(operation: str, request: Request) -> Response:
    """What MiniStack does with a request; AwsError when it refuses. To be called on the server's loop, as it expects.

    The request goes to it as the form that a client would have sent.
    """
    model = service_model("ec2").operation_model(operation)
    sent = botocore.serialize.create_serializer("ec2", include_validation=False).serialize_to_request(request, model)
    status, headers, body = ec2._ACTION_MAP[operation]({name: [str(value)] for name, value in sent["body"].items()})
    answer = {"status_code": status, "headers": headers, "body": body}
    result: Response = botocore.parsers.create_parser("ec2").parse(answer, model.output_shape)
    if status >= 300:
        raise AwsError(result["Error"]["Code"], result["Error"]["Message"], status)
    result.pop("ResponseMetadata", None)
    return result


def _text(value: str) -> str:
    return escape(CONTROL.sub("\ufffd", value))
