"""SECURITY.md names the tests that prove its promises."""

import ast
import re

import pytest

from kennel.config import ROOT

PAGE = (ROOT / "SECURITY.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)


def test_every_promise_names_a_test() -> None:
    rows = [line for line in PAGE.split("## Promises")[1].split("## ")[0].splitlines() if line.startswith("| ")][2:]
    assert rows and not [row for row in rows if "`tests/" not in row]


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_each_named_test_is_there(file: str, name: str) -> None:
    found = {part.name for part in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(part, ast.FunctionDef)}
    assert not name or name in found
