"""infra/rights.yaml, cell by cell, and what the access log says of it."""

import dataclasses
import fnmatch
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any

import yaml

from kennel.config import ROOT

ROLES = ("sagemaker", "lambda", "ec2", "airflow")


@dataclasses.dataclass(frozen=True)
class Cell:
    """An action of a role on a resource: allowed by the statement of that Sid, or denied where there is none."""

    role: str
    statement: str
    action: str
    resource: str
    when: dict[str, str]
    call: str
    request: dict[str, Any] | None
    only_on_aws: str

    def __str__(self) -> str:
        return " ".join(filter(None, (self.role, self.statement, self.action, self.resource)))

    def named(self, ids: Mapping[str, str]) -> "Cell":
        """With the ids of an account in the places of `$group` and the like."""
        return Cell(**json.loads(Template(json.dumps(dataclasses.asdict(self))).substitute(ids)))

    def is_in(self, entry: Mapping[str, str]) -> bool:
        """Whether an entry of the access log tells of it."""
        _, _, session = entry["principal"].partition(":assumed-role/")
        return (
            session.startswith(f"kennel-dogs-{self.role}/")
            and entry["action"] == self.action
            and fnmatch.fnmatchcase(entry["resource"], self.resource)
        )


@functools.cache
def table() -> dict[str, Any]:
    """The file: `{"allowed": {role: {Sid: [row]}}, "denied": {role: [row]}}`."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "infra" / "rights.yaml").read_text())
    return loaded


def allowed() -> list[Cell]:
    """What roles may do."""
    return [
        _cell(row, role, statement, action, resource)
        for role, statements in table()["allowed"].items()
        for statement, rows in statements.items()
        for row in rows
        for action in row["do"]
        for resource in row["to"]
    ]


def denied() -> list[Cell]:
    """What roles may not do."""
    return [_cell(row, role, "", row["do"], row["to"]) for role, rows in table()["denied"].items() for row in rows]


def _cell(row: dict[str, Any], role: str, statement: str, action: str, resource: str) -> Cell:
    known = {"do", "to", "when", "call", "with", "only_on_aws"}
    assert row.keys() <= known, f"{row.keys() - known} in a row of {role}"
    call = row.get("call", action.replace(":", "."))
    return Cell(
        role, statement, action, resource, row.get("when", {}), call, row.get("with"), row.get("only_on_aws", "")
    )


def entries(home: Path) -> Iterator[dict[str, str]]:
    """The access log of a local AWS, the oldest first."""
    for name in ("access.log.1", "access.log"):
        if (home / name).exists():
            for line in (home / name).read_text().splitlines():
                yield json.loads(line)
