"""Every answer of our own services is held against botocore's model of the operation.

botocore's parser drops members it does not know and does not miss those that it does, so a client alone would let a
misspelt, missing or wrongly typed member pass.
"""

import functools
import json
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
from botocore.model import OperationModel, ServiceModel, Shape, StructureShape

from localaws.services import OPERATIONS
from localaws.validation import problems, service_model

# What AWS answers to any operation, whatever the model of it says.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/CommonErrors.html
COMMON_ERRORS = frozenset(
    {
        "AccessDeniedException",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "SerializationException",
        "SignatureDoesNotMatch",
        "ServiceUnavailable",
        "ThrottlingException",
        "UnknownOperationException",
        "UnrecognizedClientException",
        "ValidationError",
        "ValidationException",
    }
)
# Where AWS does not keep to its model: no text before a command starts, and then a duration (PT1.5S) for a date.
NOT_AS_MODELLED = {
    "GetCommandInvocation": ("executionStartDateTime", "executionElapsedTime", "executionEndDateTime"),
}
# Required by the model, and not there in AWS's answers either before the job has it.
LATER = "Value null at 'modelArtifacts'"


def check_client(client: Any) -> None:
    """Have every answer that a boto3 client gets checked; one that is not AWS's is an AssertionError of the call."""
    service = client.meta.service_model.service_name
    if service in OPERATIONS and client.meta.service_model.protocol != "ec2":  # that is XML, written by the model
        check = functools.partial(_check, service_model(service))
        client.meta.events.register("response-received", check)


def complaints(operation: OperationModel, status: int, body: bytes) -> list[str]:
    """What AWS would not have answered so."""
    if operation.service_model.protocol == "ec2":
        return _form_complaints(status, body)
    if status >= 300:
        return _error_complaints(operation, status, body)
    shape = operation.output_shape
    if shape is None:
        return [f"unexpected answer {body!r}"] if body not in (b"", b"{}") else []
    if operation.service_model.protocol == "rest-json":
        return []  # a payload as it came from the model; its other members are headers
    value = json.loads(body, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    missing = [text for text in problems(shape, value) if not text.startswith(LATER)]
    return [*missing, *_unknown(shape, value, "")]


def _form_complaints(status: int, body: bytes) -> list[str]:
    """Of EC2, whose model says little of its answers and nothing of its errors."""
    document = ElementTree.fromstring(body)
    if status < 300:
        return []
    code = document.findtext("Errors/Error/Code")
    return [] if status < 500 and code not in (None, "InternalError") else [f"status {status}: {body!r}"]


def _error_complaints(operation: OperationModel, status: int, body: bytes) -> list[str]:
    answer = json.loads(body)
    known = COMMON_ERRORS | {shape.name for shape in operation.error_shapes} - {"InternalFailure"}
    if answer.get("__type") not in known and answer.get("__type") != str(status):  # the latter of what stands before it
        return [f"{operation.name} has no error {answer}"]
    return [] if "message" in answer else ["an error without a message"]


def _unknown(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        for name, item in value.items():
            member = shape.members.get(name)
            if member is None:
                yield f"{path}.{name} is not in the model"
            elif item is None:
                yield f"{path}.{name} is null"
            else:
                yield from _unknown(member, item, f"{path}.{name}")
    elif shape.type_name == "list":
        for number, item in enumerate(value):
            yield from _unknown(shape.member, item, f"{path}.{number}")
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from _unknown(shape.value, item, f"{path}.{key}")


def _check(service: ServiceModel, event_name: str, response_dict: dict[str, Any] | None, **_: Any) -> None:
    if response_dict is None:
        return
    name = event_name.rsplit(".", 1)[1]
    if service.service_name == "ssm" and name not in OPERATIONS["ssm"]:
        return  # MiniStack's
    operation = service.operation_model(name)
    found = complaints(operation, response_dict["status_code"], response_dict["body"])
    found = [text for text in found if not any(f"'{member}'" in text for member in NOT_AS_MODELLED.get(name, ()))]
    assert not found, f"{operation.name}: {'; '.join(found)}"
