"""How the tests are spread over workers."""

import os
import re
import subprocess
import sys

from kennel.config import ROOT

FILE = "tests/unit/kennel/local/test_ports.py"


def test_a_file_stays_on_one_worker() -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}  # perhaps a worker's
    command = [sys.executable, "-m", "pytest", "-v", "-n", "2", "--dist", "loadgroup", FILE]
    printed = subprocess.check_output(command, cwd=ROOT, env=env, text=True)
    assert re.findall(r"^\[(gw\d)\] \[.*PASSED", printed, re.MULTILINE) in (["gw0"] * 2, ["gw1"] * 2)
