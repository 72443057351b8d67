"""A request against botocore's model of the operation, in the words AWS answers with.

The boto3 client checks only types and required members, so a name that is too long or an unknown instance type would
pass here and fail on AWS. This checks all that the model says: required members, types, enums, patterns, lengths and
ranges, at any depth.
"""

import functools
import re
import sys
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import botocore.loaders
import botocore.model

CHARACTER_CLASS = re.compile(r"\[(?:\\.|[^\]\\])*\]")
NUMBERS = ("integer", "long", "float", "double", "timestamp")
TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list, tuple),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float, datetime),
    "blob": (str, bytes, bytearray),
}


def validate(service: str, operation: str, request: dict[str, Any]) -> list[str]:
    """All that is wrong with a request, one sentence each as AWS words it; empty when it is good.

    `service` is botocore's name of it (`sagemaker`). Raises botocore's OperationNotFoundError and UnknownServiceError.
    """
    shape = service_model(service).operation_model(operation).input_shape
    return list(problems(shape, request)) if shape else []


def known(service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """A valid request without what AWS ignores, at any depth: members that the model does not know, and nulls."""
    shape = service_model(service).operation_model(operation).input_shape
    return _known(shape, request) if shape else {}


@functools.lru_cache(maxsize=8)
def service_model(service: str) -> botocore.model.ServiceModel:
    """Botocore's model of a service, without its documentation (two thirds of its size)."""
    description = botocore.loaders.Loader().load_service_model(service, "service-2")
    return botocore.model.ServiceModel(_without_documentation(description), service)


def _without_documentation(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: _without_documentation(value)
            for key, value in node.items()
            if key != "documentation" or isinstance(value, dict)
        }
    if isinstance(node, list):
        return [_without_documentation(item) for item in node]
    return node


def problems(shape: botocore.model.Shape, value: Any, path: str = "") -> Iterator[str]:
    """All that is wrong with a value that should have this shape; `path` leads to it."""
    kind = shape.type_name
    if not _is_a(kind, value):
        yield _failed(value, path, f"Member must be of type {kind}")
    elif kind == "structure":
        yield from _structure_problems(shape, value, path)
    elif kind == "list":
        yield from (_failed(value, path, constraint) for constraint in _broken(shape, value))
        for number, item in enumerate(value, start=1):
            yield from problems(shape.member, item, f"{path}.{number}.member")
    elif kind == "map":
        yield from _map_problems(shape, value, path)
    else:
        yield from (_failed(value, path, constraint) for constraint in _broken(shape, value))


def _known(shape: Any, value: Any) -> Any:
    if shape.type_name == "structure":
        return {
            name: _known(member, value[name]) for name, member in shape.members.items() if value.get(name) is not None
        }
    if shape.type_name == "list":
        return [_known(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {key: _known(shape.value, item) for key, item in value.items()}
    return value


def _is_a(kind: str, value: Any) -> bool:
    return isinstance(value, TYPES[kind]) and not (isinstance(value, bool) and kind in NUMBERS)


def _structure_problems(shape: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    for name, member in shape.members.items():
        here = f"{path}.{_lower_first(name)}" if path else _lower_first(name)
        if value.get(name) is not None:
            yield from problems(member, value[name], here)
        elif name in shape.required_members:
            yield _failed(None, here, "Member must not be null")


def _map_problems(shape: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    yield from (_failed(value, path, constraint) for constraint in _broken(shape, value))
    for key, item in value.items():
        broken = list(_broken(shape.key, key))
        if broken:
            yield _failed(value, path, f"Map keys must satisfy constraint: [{', '.join(broken)}]")
        if shape.value.type_name != "string" or not isinstance(item, str):
            yield from problems(shape.value, item, f"{path}.{key}.member")
        elif broken := list(_broken(shape.value, item)):
            yield _failed(value, path, f"Map value must satisfy constraint: [{', '.join(broken)}]")


def _broken(shape: Any, value: Any) -> Iterator[str]:
    """The constraints of a shape itself, not of what it holds, that a value of the right type breaks."""
    limits = shape.metadata
    kind = shape.type_name
    if kind in NUMBERS:
        size, noun = value, "value"
    elif kind in ("string", "list", "map", "blob"):
        size, noun = len(value), "length"
    else:
        return
    if "max" in limits and size > limits["max"]:
        yield f"Member must have {noun} less than or equal to {limits['max']}"
    if "min" in limits and size < limits["min"]:
        yield f"Member must have {noun} greater than or equal to {limits['min']}"
    if kind == "string":
        if shape.enum and value not in shape.enum:
            yield f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
        if "pattern" in limits and not compiled(limits["pattern"]).fullmatch(value):
            yield f"Member must satisfy regular expression pattern: {limits['pattern']}"


def _failed(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]


@functools.cache
def compiled(pattern: str) -> re.Pattern[str]:
    r"""A pattern of the service model as Python reads it.

    Java's `\p{L}` becomes the characters themselves; a quantifier after `$`, which Java allows and a few models hold,
    says nothing and goes; surrogate ranges mean the characters outside the basic plane.
    """
    pattern = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF").replace(r"\z", r"\Z")
    pattern = re.sub(r"\$\{\d+,\d*\}", "$", pattern)
    pattern = CHARACTER_CLASS.sub(lambda found: _expanded(found[0], "{}"), pattern)
    return re.compile(_expanded(pattern, "[{}]"))


def _expanded(pattern: str, form: str) -> str:
    return re.sub(r"\\p\{(\w+)\}", lambda found: form.format(_ranges()[found[1]]), pattern)


@functools.cache
def _ranges() -> dict[str, str]:
    """What `\\p{...}` stands for, as the inside of a character class: ASCII sets and Unicode's major categories."""
    ranges: dict[str, list[str]] = {"Alnum": ["a-zA-Z0-9"], "ASCII": ["\\x00-\\x7f"], "Print": ["\\x20-\\x7e"]}
    start, category = 0, unicodedata.category(chr(0))[0]
    for code in range(1, sys.maxunicode + 2):
        following = unicodedata.category(chr(code))[0] if code <= sys.maxunicode else ""
        if following != category:
            ranges.setdefault(category, []).append(rf"\U{start:08x}-\U{code - 1:08x}")
            start, category = code, following
    return {name: "".join(parts) for name, parts in ranges.items()}
