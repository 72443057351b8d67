"""No secret is in the repository."""

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings

from kennel.config import ROOT

# What opens nothing, by folder: key ids of AWS's examples and of our own making, words, and what IAM calls a secret.
MADE_UP = {
    "benchmarks": {"AKIAIOSFODNN7EXAMPLE", "secret"},
    "infra": {"GetSecretValue", "us-east-1:000000000000:secret:password", "password"},
    "tests": {
        *("AKIAIOSFODNN7EXAMPLE", "AKIACALLERCALLER2345", "AKIAMADEUPMADEUP2345"),
        *("admin", "secret", "example-secret", "only-for-this-test"),
    },
}


def secrets(files: Iterable[Path]) -> Iterator[tuple[Path, int, str]]:
    """File, line and text of what looks like a vendor's key, a private key, a token, a password, or random letters.

    Digests, which are random too, are passed over.
    """
    with default_settings() as settings:
        settings.plugins.pop("HexHighEntropyString")
        settings.disable_filters("detect_secrets.filters.heuristic.is_non_text_file")  # it takes uv.lock for such a one
        for file in files:
            for found in scan_file(str(file)):
                yield file, found.line_number, found.secret_value or ""


def test_no_tracked_file_holds_a_secret() -> None:
    names = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    assert {"uv.lock", "docker-compose.yaml", "plugins/kennel/cli.py"} <= set(names)
    found = [(file.relative_to(ROOT), line, text) for file, line, text in secrets(ROOT / name for name in names)]
    assert not [secret for secret in found if secret[2] not in MADE_UP.get(secret[0].parts[0], ())]


def test_secrets_of_every_kind_would_be_found(tmp_path: Path) -> None:
    planted = {
        "uv.lock": 'url = "https://user:' + 'hunter2000@index.example/simple"',
        "key.pem": "-----BEGIN RSA PRIVATE " + "KEY-----",
        "code.py": 'KEY_ID = "AK' + 'IAQ7H3X5KZP2LMN4RT"',
        "settings.py": "password = " + '"correct-horse-battery"',
        "token.txt": "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl",
        "random.yaml": "value: " + '"9vXw2QpLz7RkT4mY' + 'b8NcF1hJ6sDg3aUe"',
    }
    for name, text in planted.items():
        (tmp_path / name).write_text(text + "\n")
    assert {file.name for file, _, _ in secrets(sorted(tmp_path.iterdir()))} == set(planted)
