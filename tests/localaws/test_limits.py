"""A server that lets its jobs have only so much of the machine."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY, running_local_aws
from tests.localaws.jobs import Workbench


def test_jobs_keep_to_the_memory_and_threads_they_may_have(tmp_path: Path) -> None:
    script = """
import os
print(os.environ["OMP_NUM_THREADS"], os.environ["SM_NUM_CPUS"], flush=True)
fits = bytearray(100_000_000)
print("fits", flush=True)
too_much = bytearray(1_000_000_000)
"""
    settings = {"LOCALAWS_JOB_MEMORY_MB": "300", "LOCALAWS_JOB_THREADS": "1"}
    with running_local_aws(tmp_path / "home", **settings) as local:
        bench = Workbench(local)
        job = bench.train(script)
        lines = bench.lines("/aws/sagemaker/TrainingJobs", job["TrainingJobName"])
        assert lines[:2] == ["1 1", "fits"]
        assert job["TrainingJobStatus"] == "Failed"
        assert 'ErrorMessage "MemoryError"' in job["FailureReason"]
        assert bench.process("print('the server goes on')")["ProcessingJobStatus"] == "Completed"


def test_wrong_limit_stops_the_server_from_starting(tmp_path: Path) -> None:
    server = subprocess.run(
        [sys.executable, "-m", "localaws", "--port", "0", "--home", str(tmp_path)],
        env={"LOCALAWS_JOB_MEMORY_MB": "lots"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert server.returncode == 2
    assert server.stderr == "localaws: LOCALAWS_JOB_MEMORY_MB is 'lots'; it must be a whole number of at least 64\n"
