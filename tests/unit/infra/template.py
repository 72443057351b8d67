"""infra/foundation.yaml as data."""

from collections.abc import Iterator
from typing import Any

import yaml

from kennel.config import ROOT

TEMPLATE = ROOT / "infra" / "foundation.yaml"

Template = dict[str, Any]
Statement = dict[str, Any]


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags: `!GetAtt A.B` becomes `{"GetAtt": "A.B"}`."""


def tagged(loader: Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    assert isinstance(node, yaml.SequenceNode)
    return {name: loader.construct_sequence(node, deep=True)}


Loader.add_multi_constructor("!", tagged)


def load() -> Template:
    loaded: Template = yaml.load(TEMPLATE.read_text(), Loader)
    return loaded


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def of_type(template: Template, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and properties of each resource of a type, `S3::Bucket` say."""
    for name, resource in template["Resources"].items():
        if resource["Type"] == f"AWS::{kind}":
            yield name, resource.get("Properties", {})


def documents(value: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every policy document below a value, whatever it belongs to, with the path to it."""
    if isinstance(value, dict):
        if "Statement" in value:
            yield place, value
        for key, below in value.items():
            yield from documents(below, f"{place}.{key}".removeprefix("."))
    elif isinstance(value, list):
        for position, below in enumerate(value):
            yield from documents(below, f"{place}.{position}")


def statements(value: Any) -> Iterator[tuple[str, Statement]]:
    """Every statement below a value, with the path to it."""
    for place, document in documents(value):
        for position, statement in enumerate(listed(document["Statement"])):
            yield f"{place}.{statement.get('Sid', position)}", statement


def rights(template: Template, role: str) -> Iterator[Statement]:
    """The statements of a role's policies."""
    for _, statement in statements(template["Resources"][role]["Properties"]["Policies"]):
        yield statement
