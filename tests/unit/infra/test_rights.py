"""infra/rights.yaml beside the template, both read as text; tests/localaws/test_rights.py tries the rows."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.rights import ROLES, allowed, denied, table
from tests.unit.infra import test_foundation
from tests.unit.infra.test_foundation import TEMPLATE, WITHOUT_RESOURCE, Loader, listed, statements

RESOURCES = dict(zip(ROLES, ("SageMakerRole", "FunctionRole", "InstanceRole", "AirflowRole"), strict=True))
TEXT: dict[str, Any] = yaml.load(TEMPLATE.read_text(), Loader)
STATEMENTS = [(role, part["Sid"]) for role, name in RESOURCES.items() for part in statements(TEXT, name)]
NAMED = [
    (role, part["Sid"])
    for role, name in RESOURCES.items()
    for part in statements(TEXT, name)
    if not WITHOUT_RESOURCE & set(listed(part["Action"]))
]


def test_has_rows_for_every_statement_of_the_template_and_for_no_other() -> None:
    assert {RESOURCES[role]: f"kennel-${{Classifier}}-{role}" for role in ROLES} == {
        name: resource["Properties"]["RoleName"]["Sub"]
        for name, resource in TEXT["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role"
    }
    rows = [(role, sid) for role, parts in table()["allowed"].items() for sid, rows in parts.items() if rows]
    assert sorted(rows) == sorted(STATEMENTS)


def test_proves_each_allowed_row_in_one_way_and_tries_each_denied_one() -> None:
    assert [str(cell) for cell in allowed() if cell.request is not None and cell.only_on_aws] == []
    assert [str(cell) for cell in denied() if cell.request is None or cell.only_on_aws] == []


def with_star(role: str, sid: str, member: str) -> dict[str, Any]:
    """The template with `*` among a statement's actions or resources."""
    changed = copy.deepcopy(TEXT)
    [statement] = [part for part in statements(changed, RESOURCES[role]) if part["Sid"] == sid]
    statement[member] = [*listed(statement[member]), "*"]
    return changed


@pytest.mark.parametrize(
    ("role", "sid", "member", "caught_by"),
    [
        *((*statement, "Action", test_foundation.test_names_each_action_in_full) for statement in STATEMENTS),
        *(
            (*statement, "Resource", test_foundation.test_names_a_resource_wherever_the_api_has_one)
            for statement in NAMED
        ),
    ],
)
def test_a_star_in_a_statement_breaks_a_test_of_the_template(
    role: str, sid: str, member: str, caught_by: Callable[..., None]
) -> None:
    caught_by(TEXT, RESOURCES[role])
    with pytest.raises(AssertionError):
        caught_by(with_star(role, sid, member), RESOURCES[role])
