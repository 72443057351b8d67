"""Whether a known vulnerability is in anything that uv.lock has: `make audit`, or `python -m supply.audit`.

pip-audit asks OSV, the database of open source's vulnerabilities, about each locked package that this system needs,
those of development too. PIP_AUDIT_OSV_URL names another server of the same API. Nothing is installed, and nothing sent
but names and versions.

Exit status: 0 when none is known, 1 when some are, each on a line of its own, 2 when it could not be found out.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CLEAN, VULNERABLE, UNKNOWN = range(3)
NEEDED = "an answer from the vulnerability database, by the network or from a mirror named in PIP_AUDIT_OSV_URL"


def main() -> int:
    """Audit the lock file in the working directory."""
    with tempfile.TemporaryDirectory() as directory:
        locked, found = Path(directory) / "requirements.txt", Path(directory) / "found.json"
        export = ["export", "--frozen", "--quiet", "--all-groups", "--no-emit-project", "--output-file", str(locked)]
        subprocess.run([sys.executable, "-m", "uv", *export], check=True)
        options = ["--require-hashes", "--disable-pip", "--vulnerability-service", "osv", "--progress-spinner", "off"]
        output = ["--format", "json", "--output", str(found)]
        audit = [sys.executable, "-m", "pip_audit", "--requirement", str(locked), *options, *output]
        asked = subprocess.run(audit, stderr=subprocess.PIPE, text=True)
        if not found.exists():
            why = [line for line in asked.stderr.splitlines() if "Error: " in line] or [
                f"exit status {asked.returncode}"
            ]
            print(f"could not be checked, which needs {NEEDED}: {why[-1]}")
            return UNKNOWN
        return report(json.loads(found.read_text())["dependencies"])


def report(packages: list[dict[str, Any]]) -> int:
    """Print what is known of the packages; the exit status."""
    lines = [
        f"{package['name']} {package['version']}: {', '.join([known['id'], *known['aliases']])}, "
        f"fixed in {', '.join(known['fix_versions']) or 'no version yet'}"
        for package in packages
        for known in package.get("vulns", ())
    ]
    print("\n".join(lines) or f"no known vulnerability in {len(packages)} packages")
    return VULNERABLE if lines else CLEAN


if __name__ == "__main__":
    sys.exit(main())
