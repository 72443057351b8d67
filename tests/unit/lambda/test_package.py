"""What Lambda is handed: the package alone, on a Python without anything installed."""

import ast
import subprocess
import sys
from pathlib import Path

import invoke_endpoint

PACKAGE = Path(str(invoke_endpoint.__file__)).parent


def test_imports_only_the_standard_library_and_itself() -> None:
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= sys.stdlib_module_names, path
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert str(node.module).split(".")[0] in sys.stdlib_module_names, path


def test_starts_on_a_bare_python_and_refuses_an_empty_event(tmp_path: Path) -> None:
    environment = {
        "ENDPOINT_NAME": "kennel-dogs",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example-secret",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    program = "from invoke_endpoint.handler import lambda_handler; assert lambda_handler({}, None)['statusCode'] == 400"
    command = [sys.executable, "-S", "-W", "error", "-c", program]
    ran = subprocess.run(command, cwd=PACKAGE.parent, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
