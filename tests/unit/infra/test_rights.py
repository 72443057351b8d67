"""infra/rights.yaml beside the template, both read as text; tests/localaws/test_rights.py tries the rows."""

from tests.rights import ROLES, allowed, denied, table
from tests.unit.infra.template import load, of_type, rights

RESOURCES = dict(zip(ROLES, ("SageMakerRole", "FunctionRole", "InstanceRole", "AirflowRole"), strict=True))


def test_has_rows_for_every_statement_of_the_template_and_for_no_other() -> None:
    template = load()
    assert {RESOURCES[name]: f"kennel-${{Classifier}}-{name}" for name in ROLES} == {
        name: role["RoleName"]["Sub"] for name, role in of_type(template, "IAM::Role")
    }
    statements = [(role, part["Sid"]) for role, name in RESOURCES.items() for part in rights(template, name)]
    rows = [(role, sid) for role, parts in table()["allowed"].items() for sid, rows in parts.items() if rows]
    assert sorted(rows) == sorted(statements)


def test_proves_each_allowed_row_in_one_way_and_tries_each_denied_one() -> None:
    assert [str(cell) for cell in allowed() if cell.request is not None and cell.only_on_aws] == []
    assert [str(cell) for cell in denied() if cell.request is None or cell.only_on_aws] == []
