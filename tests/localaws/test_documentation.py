"""docs/local-aws.md says what the server does."""

import re
from pathlib import Path

from localaws import documentation
from localaws.services import MODULES

REPOSITORY = Path(__file__).parents[2]
DOCUMENT = REPOSITORY / "docs" / "local-aws.md"


def test_the_document_is_what_the_tables_give() -> None:
    expected = "\n".join(documentation.pages())
    assert DOCUMENT.read_text() == expected, "python -m localaws.documentation > docs/local-aws.md"


def test_every_setting_is_in_the_document() -> None:
    sources = (path.read_text() for path in (REPOSITORY / "localaws").rglob("*.py") if path.stem != "documentation")
    settings = {name for source in sources for name in re.findall(r"\bLOCALAWS_\w+", source)}
    assert settings
    assert sorted(name for name in settings if f"`{name}`" not in DOCUMENT.read_text()) == []


def test_simplified_are_only_operations_that_are_served() -> None:
    for modules in MODULES.values():
        for module in modules:
            assert getattr(module, "SIMPLIFIED", {}).keys() <= module.OPERATIONS.keys(), module.__name__
