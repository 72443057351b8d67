"""make audit, against a server that plays the vulnerability database."""

import json
import os
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kennel.config import ROOT
from kennel.local import ports
from supply.audit import NEEDED

LOCKED = {package["name"]: package["version"] for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
KNOWN = {
    "id": "PYSEC-2026-1",
    "details": "A photo may say more than it shows.",
    "aliases": ["CVE-2026-1"],
    "affected": [
        {
            "package": {"name": "pillow", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
        }
    ],
}


@contextmanager
def database(known: dict[str, Any], status: int = 200) -> Iterator[tuple[str, dict[str, str]]]:
    """Knows these vulnerabilities, by package; its URL, and what it has been asked about."""
    asked: dict[str, str] = {}

    class Database(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = query["package"]["name"]
            asked[name] = query["version"]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps({"vulns": [known[name]]} if name in known else {}).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Database) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query", asked
        server.shutdown()


def audit(url: str) -> tuple[int, list[str]]:
    """The exit status and what is printed."""
    done = subprocess.run(
        [sys.executable, "-m", "supply.audit"],
        cwd=ROOT,
        env={**os.environ, "PIP_AUDIT_OSV_URL": url, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout.splitlines()


def test_asks_about_what_is_locked_and_says_that_none_is_known() -> None:
    with database({}) as (url, asked):
        status, lines = audit(url)
    assert (status, lines) == (0, [f"no known vulnerability in {len(asked)} packages"])
    assert {name: LOCKED[name] for name in ("apache-airflow", "pillow", "torch", "uv")}.items() <= asked.items()


def test_names_what_is_vulnerable_and_where_it_is_fixed() -> None:
    with database({"pillow": KNOWN}) as (url, _):
        status, lines = audit(url)
    assert (status, lines) == (1, [f"pillow {LOCKED['pillow']}: PYSEC-2026-1, CVE-2026-1, fixed in 99.0"])


def test_says_in_one_line_that_the_database_cannot_be_reached() -> None:
    status, [line] = audit(f"http://127.0.0.1:{ports.free(1)[0]}/v1/query")
    assert status == 2
    assert line.startswith(f"could not be checked, which needs {NEEDED}: requests.exceptions.")


def test_does_not_take_a_failing_database_for_a_clean_bill() -> None:
    with database({}, status=503) as (url, _):
        status, [line] = audit(url)
    assert status == 2
    assert line.startswith(f"could not be checked, which needs {NEEDED}: requests.exceptions.HTTPError: 503 ")
