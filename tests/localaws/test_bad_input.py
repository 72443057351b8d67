"""What strangers bring: each job ends with a reason, and the server goes on."""

from typing import Any

import psutil
import pytest

from tests.conftest import LocalAws
from tests.localaws.jobs import Workbench, refused

GROUP = "/aws/sagemaker/TrainingJobs"
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def bench(local_aws: LocalAws) -> Workbench:
    return Workbench(local_aws)


def test_output_of_a_hundred_megabytes_leaves_the_server_small(bench: Workbench, local_aws: LocalAws) -> None:
    bench.train("print('what every first job brings into memory is there')")
    server = psutil.Process(local_aws.process.pid)
    before = server.memory_info().rss
    script = "for _ in range(1_000): print('x' * 99_999)\nfor number in range(10): print('end', number, 'loss=0.5')"
    request = bench.training_request(bench.source(script), StoppingCondition={"MaxRuntimeInSeconds": 600})
    bench.sagemaker.create_training_job(**request)
    job = bench.finished("TrainingJob", request["TrainingJobName"], seconds=300)
    assert job["TrainingJobStatus"] == "Completed"
    assert job["FinalMetricDataList"][0]["Value"] == 0.5
    assert server.memory_info().rss - before < 100 * MEGABYTE
    lines = bench.lines(GROUP, job["TrainingJobName"])
    assert lines[-10:] == [f"end {number} loss=0.5" for number in range(10)]
    assert sum(map(len, lines)) < 40 * MEGABYTE
    [cut, gap] = [line for line in lines if line.startswith("[local AWS]")]
    assert "too long to keep" in cut
    assert "lines are left out here" in gap


@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [
        ("raise SystemExit(3)", "Failed", "exit code: 3"),
        ("import no_such_module", "Failed", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def broken(:", "Failed", "SyntaxError: invalid syntax"),
        ("import os; os.kill(0, 9)", "Failed", "exit code: -9"),
        ("import sys; sys.stdout.buffer.write(bytes(range(256)) * 9); sys.exit(1)", "Failed", "exit code: 1"),
        ("import shutil; shutil.rmtree('/opt/ml/output'); shutil.rmtree('/opt/ml/input')", "Completed", ""),
        ("import os; os.symlink('/etc/hostname', '/opt/ml/model/link')", "Completed", ""),
    ],
)
def test_script_that_misbehaves_ends_its_job_and_no_more(
    bench: Workbench, script: str, status: str, reason: str
) -> None:
    job = bench.train(script, StoppingCondition={"MaxRuntimeInSeconds": 20})
    assert job["TrainingJobStatus"] == status, job
    assert reason in job.get("FailureReason", "")


def test_key_that_leads_out_of_its_channel_fails_the_job(bench: Workbench, local_aws: LocalAws) -> None:
    """Where the server's S3 takes such a key at all."""
    bench.s3.put_object(Bucket=bench.bucket, Key="data/../../../escaped.txt", Body=b"x")
    bench.put("data/a.txt", "a")
    job = bench.train("", InputDataConfig=[bench.channel("data", bench.uri("data"))])
    assert not list(local_aws.home.parent.rglob("escaped.txt")), "S3 wrote outside of its directory"
    assert job["TrainingJobStatus"] == "Failed"
    assert "leads out of the input directory" in job["FailureReason"]


@pytest.mark.parametrize(
    "change",
    [
        {"InputDataConfig": [".."]},
        {"CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints", "LocalPath": "/opt/ml/../../etc"}},
        {"AlgorithmSpecification": {"TrainingInputMode": "File"}},
    ],
)
def test_request_that_makes_no_sense_is_refused_at_once(bench: Workbench, change: dict[str, Any]) -> None:
    if "InputDataConfig" in change:
        change = {"InputDataConfig": [bench.channel("..", bench.uri("data"))]}
    code, _ = refused(bench.sagemaker.create_training_job, **(bench.training_request({}) | change))
    assert code == "ValidationException"


def test_entry_point_outside_of_the_source_fails_the_job(bench: Workbench) -> None:
    source = bench.source("") | {"sagemaker_program": "../../../../etc/hostname"}
    request = bench.training_request(source)
    bench.sagemaker.create_training_job(**request)
    job = bench.finished("TrainingJob", request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Failed"
    assert "The entry point ../../../../etc/hostname is not in s3://" in job["FailureReason"]
