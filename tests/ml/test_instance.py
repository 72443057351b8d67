"""What stands around train.py on an EC2 instance, but for S3: that is in tests/dags/test_ec2.py."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ml.conftest import ML

RUN = """
import sys
from instance import Work, train
train(Work("bucket", {"embeddings": "e/", "weights": "w.pth"}, {"seed": "7", "epochs": "2"}, "model", {}))
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base directory, and the scripts beside it without a train.py."""
    (tmp_path / "code").mkdir()
    for name in ("instance.py", "job.py"):
        (tmp_path / "code" / name).write_text((ML / name).read_text())
    return tmp_path


def run(base: Path, script: str) -> subprocess.CompletedProcess[str]:
    (base / "code" / "train.py").write_text(script)
    variables = {"SAGEMAKER_BASE_DIR": str(base), "PATH": ""}
    return subprocess.run(
        [sys.executable, "-c", RUN], cwd=base / "code", env=variables, capture_output=True, text=True, check=False
    )


def test_the_script_has_the_arguments_and_variables_of_script_mode(base: Path) -> None:
    done = run(
        base,
        "import json, os, sys\n"
        "names = ('SM_CHANNEL_EMBEDDINGS', 'SM_CHANNEL_WEIGHTS', 'SM_MODEL_DIR', 'SM_CURRENT_HOST', 'SM_HPS')\n"
        "print(json.dumps([sys.argv[1:], *(os.environ[name] for name in names)]))",
    )
    assert done.returncode == 0, done.stderr
    arguments, *variables, hyperparameters = json.loads(done.stdout)
    assert arguments == ["--epochs", "2", "--seed", "7"]
    places = [str(base / place) for place in ("input/data/embeddings", "input/data/weights", "model")]
    assert variables == [*places, "algo-1"]
    assert json.loads(hyperparameters) == {"seed": "7", "epochs": "2"}


def test_a_script_at_fault_is_told_from_what_may_pass_and_only_its_reason_is_on_stderr(base: Path) -> None:
    done = run(
        base, "from job import JobError, run, FAILURE\ndef main(_): raise JobError('too few')\nrun(main, FAILURE)"
    )
    assert (done.returncode, done.stderr) == (65, "too few\n")
    assert "too few" in done.stdout


def test_a_script_that_leaves_no_reason_has_its_exit_code_told(base: Path) -> None:
    done = run(base, "import sys; sys.exit(3)")
    assert (done.returncode, done.stderr) == (65, "train.py ended with exit code 3\n")
