"""Requests as no client would send them: whatever comes, AWS's error or AWS's answer goes back, and never a 500.

A request begins as a valid one, made from botocore's model of the operation, and is then spoilt in a few places. Roles,
images and data that it names do not exist, so that nothing is set going.
"""

import copy
import functools
import http.client
import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import hypothesis.strategies as st
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.model import OperationModel, ServiceModel, Shape, StructureShape
from hypothesis import given, settings

from localaws.services import OPERATIONS
from localaws.validation import problems, service_model
from tests.answers import complaints
from tests.conftest import LocalAws

EXAMPLES = 40
DEPTH = 6  # of what is made of optional members
# Few, so that what one request makes is there for the next.
NAMES = ("fuzz-a", "fuzz-b")
# What leads on, where it may stand.
USUAL = (
    *NAMES,
    "sagemaker",
    "sagemaker:variant:DesiredInstanceCount",
    "S3Prefix",
    "File",
    "Random",
    "TargetTrackingScaling",
)
ROLE = "arn:aws:iam::000000000000:role/nobody"
# One of these suits nearly every pattern of the model.
WORDS = (
    *USUAL,
    ROLE,
    "arn:aws:sagemaker:us-east-1:000000000000:model/fuzz-a",
    "arn:aws:sagemaker:us-east-1:000000000000:model-package/fuzz-a/1",
    "763104351884.dkr.ecr.us-east-1.amazonaws.com/fuzz:1",
    "s3://fuzz-a/b",
    "https://s3/fuzz",
    "/opt/ml/fuzz",
    "loss=(.*)",
    "0.5",
    "1",
    "i-0123456789abcdef0",
    "0123456789abcdef0123456789abcdef0123",
    "sha256:" + "0" * 64,
    "sg-0123",
    "subnet-0123",
    "endpoint/fuzz-a/variant/AllTraffic",
    "2026-01-01",
    "256MB",
)
JUNK: tuple[Any, ...] = (
    *(None, True, -1, 0, 1 << 31, 1 << 63, 1 << 100, 0.5, 1e308, float("nan"), float("inf")),
    *(
        "",
        " ",
        "x" * 9000,
        "9" * 5000,
        "\0",
        "\ud800",
        "é{}%s",
        "../../etc/passwd",
        "s3://../x",
        "-",
        "*",
        "arn:aws:s3:::x/y",
        "a/b",
    ),
    *([], {}, [None], [[]], [{}], {"": None}, {"a": {"b": []}}),
)
BODIES = (b"", b"[]", b"null", b"{", b"\xff\xfe", b'"a"', b"1", b"NaN", b"[" * 100_000, b'{"a":' * 50_000, b"{}" * 2)


class Wire:
    """Signed requests on one connection, as they are: no client looks at them first."""

    def __init__(self, aws: LocalAws) -> None:
        self._aws = aws
        self._connection = http.client.HTTPConnection(urlsplit(aws.url).netloc, timeout=60)
        self._key = Credentials(aws.env["AWS_ACCESS_KEY_ID"], aws.env["AWS_SECRET_ACCESS_KEY"])

    def post(self, model: ServiceModel, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        request = AWSRequest("POST", self._aws.url + path, data=body, headers=headers)
        SigV4Auth(self._key, model.signing_name, self._aws.region).add_auth(request)
        self._connection.request("POST", path, body, dict(request.headers.items()))
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def json(self, operation: OperationModel, body: bytes) -> tuple[int, bytes]:
        """A call by the protocol that has the operation in a header."""
        model = operation.service_model
        return self.post(model, "/", {"X-Amz-Target": f"{model.metadata['targetPrefix']}.{operation.name}"}, body)

    def rest(self, operation: OperationModel, request: dict[str, Any]) -> tuple[int, bytes]:
        """A call by the protocol that has the members in the path and in headers of their own."""
        members = operation.input_shape.members
        path, headers = operation.http["requestUri"], {}
        for name, value in request.items():
            where = members[name].serialization if name in members and isinstance(value, str) else {}
            if where.get("location") == "uri":
                path = path.replace(f"{{{where['name']}}}", quote(value.encode(errors="replace"), safe=""))
            elif where.get("location") == "header" and value.isprintable() and value.isascii():
                headers[where["name"]] = value
        return self.post(operation.service_model, path, headers, str(request.get("Body")).encode(errors="replace"))

    def form(self, operation: OperationModel, request: dict[str, Any]) -> tuple[int, bytes]:
        """A call of EC2, which has the members in a form."""
        model = operation.service_model
        members = {"Action": operation.name, "Version": model.api_version} | dict(flat(operation.input_shape, request))
        body = urlencode(members, errors="replace").encode()
        return self.post(model, "/", {"Content-Type": "application/x-www-form-urlencoded"}, body)


def flat(shape: Any, value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The members of a form, `Tag.1.Key` and the like, as far as a value has the shape."""
    dot = f"{path}." if path else ""
    if isinstance(value, dict):
        for name, item in value.items():
            member = shape.members.get(name) if isinstance(shape, StructureShape) else None
            where = member.serialization if member else {}
            given = str(where.get("queryName") or where.get("name", name))
            yield from flat(member, item, dot + given[:1].upper() + given[1:])
    elif isinstance(value, list):
        for number, item in enumerate(value, start=1):
            yield from flat(getattr(shape, "member", None), item, f"{dot}{number}")
    else:
        yield path, str(value)


@pytest.fixture(scope="module")
def wire(local_aws: LocalAws) -> Wire:
    return Wire(local_aws)


@functools.cache
def words(shape: Shape) -> list[str]:
    """Strings that suit a shape."""
    if shape.metadata.get("enum"):
        return list(shape.metadata["enum"])
    return [word for word in WORDS if not list(problems(shape, word))]


def suits(shape: Shape) -> bool:
    """Whether `make` has something for it."""
    return shape.type_name != "string" or bool(words(shape))


def make(shape: Any, chance: random.Random, depth: int = 0, name: str = "") -> Any:
    """A value of a shape that the model has nothing against, or hardly anything."""
    kind, least = shape.type_name, int(shape.metadata.get("min", 0))
    if isinstance(shape, StructureShape):
        rate = 0.3 if depth < DEPTH else 0
        return {
            key: make(member, chance, depth + 1, key)
            for key, member in shape.members.items()
            if key in shape.required_members or (key != "NextToken" and suits(member) and chance.random() < rate)
        }
    if kind == "list":
        most = min(int(shape.metadata.get("max", 2)), least + 1)
        return [make(shape.member, chance, depth + 1) for _ in range(chance.randint(least, most))]
    if kind == "map":
        return {make(shape.key, chance): make(shape.value, chance, depth + 1) for _ in range(least + 1)}
    if kind == "string":
        usual = [word for word in words(shape) if word in USUAL]
        return ROLE if "rolearn" in name.lower() else chance.choice(usual or words(shape) or ["fuzz"])
    if kind == "boolean":
        return chance.random() < 0.5
    return "ZnV6eg==" if kind == "blob" else 1_700_000_000 if kind == "timestamp" else least + chance.randrange(3)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a request."""
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(item, dict | list):
            yield from places(item)


def spoil(request: dict[str, Any], chance: random.Random) -> None:
    """Replace, drop, blow up or add something, somewhere."""
    found = list(places(request))
    if not found:
        request["Unknown"] = copy.deepcopy(chance.choice(JUNK))
        return
    container, key = chance.choice(found)
    match chance.randrange(4):
        case 0:
            del container[key]
        case 1 if isinstance(container[key], list):
            container[key] = container[key] * 300
        case 2 if isinstance(container, dict):
            container[f"{key}x"] = container[key]
        case _:
            container[key] = copy.deepcopy(chance.choice(JUNK))  # which may be spoilt further


# What takes things away comes last.
CALLS = sorted(
    ((service, operation) for service, handlers in OPERATIONS.items() for operation in handlers),
    key=lambda call: call[1].startswith(("Delete", "Deregister")),
)


@pytest.mark.parametrize(("service", "name"), CALLS)
def test_whatever_is_asked_the_answer_is_one_of_aws(wire: Wire, service: str, name: str) -> None:
    operation = service_model(service).operation_model(name)
    protocol = operation.service_model.protocol

    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None)
    @given(st.integers(0, 1 << 32), st.integers(0, 3))
    def check(seed: int, spoilt: int) -> None:
        chance = random.Random(seed)
        request = make(operation.input_shape, chance)
        for _ in range(spoilt):
            spoil(request, chance)
        if protocol == "ec2":
            status, body = wire.form(operation, request)
        elif protocol == "rest-json":
            status, body = wire.rest(operation, request)
        else:
            status, body = wire.json(operation, json.dumps(request).encode())
            assert b"UnknownOperationException" not in body
        assert not complaints(operation, status, body), json.dumps(request)

    check()


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:10].decode("latin-1"))
@pytest.mark.parametrize(("service", "name"), [("sagemaker", "CreateModel"), ("ssm", "SendCommand")])
def test_a_body_that_is_no_request_is_refused(wire: Wire, service: str, name: str, body: bytes) -> None:
    operation = service_model(service).operation_model(name)
    status, answer = wire.json(operation, body)
    assert status == 400
    assert not complaints(operation, status, answer)


@pytest.mark.parametrize("member", ["InstanceId", "InstanceId.x", f"InstanceId.{'9' * 5000}", "InstanceId.1.1", "."])
def test_a_form_that_is_no_request_is_refused(wire: Wire, member: str) -> None:
    operation = service_model("ec2").operation_model("TerminateInstances")
    status, answer = wire.form(operation, {member: "i-0123456789abcdef0"})
    assert status == 400
    assert not complaints(operation, status, answer)
