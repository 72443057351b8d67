"""What becomes of jobs when the server stops, is killed, or cannot mount anything at /opt/ml."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import LocalAws, start_local_aws, stop_local_aws
from tests.localaws.jobs import IMAGE, Workbench, tar_gz

# It starts a child in a session of its own, as torchrun does, and both would go on for ten minutes.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session={own_session})
print("pids", child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def server(home: Path) -> Iterator[LocalAws]:
    local = start_local_aws(home)
    yield local
    if local.process.poll() is None:
        stop_local_aws(local)


def start_job(bench: Workbench, own_session: bool) -> tuple[str, list[psutil.Process]]:
    """A running training job's name and its processes: the script and its child."""
    request = bench.training_request(bench.source(STUBBORN.format(own_session=own_session)))
    name = request["TrainingJobName"]
    bench.sagemaker.create_training_job(**request)
    deadline = time.monotonic() + 20
    while not (lines := bench.lines("/aws/sagemaker/TrainingJobs", name)):
        assert time.monotonic() < deadline, bench.describe("TrainingJob", name)
        time.sleep(0.05)
    found = re.match(r"pids (\d+)", lines[0])
    assert found
    child = psutil.Process(int(found[1]))
    parent = child.parent()
    assert parent and "train.py" in parent.cmdline()
    return name, [parent, child]


def assert_gone(processes: list[psutil.Process]) -> None:
    gone, alive = psutil.wait_procs(processes, timeout=10)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE], gone


def test_stopping_the_server_kills_its_jobs_and_the_next_start_says_so(server: LocalAws, home: Path) -> None:
    name, processes = start_job(Workbench(server), own_session=True)
    began = time.monotonic()
    stop_local_aws(server)
    assert time.monotonic() - began < 15
    assert_gone(processes)
    again = start_local_aws(home)
    try:
        job = again.client("sagemaker").describe_training_job(TrainingJobName=name)
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
        assert "The local AWS was restarted while the job ran" in job["FailureReason"]
    finally:
        stop_local_aws(again)


def test_stopping_the_server_ends_a_transform_job_and_the_next_start_says_so(server: LocalAws, home: Path) -> None:
    bench = Workbench(server)
    script = "import time\ndef model_fn(place): print('loading', flush=True); time.sleep(600)"
    model = {"Image": IMAGE, "ModelDataUrl": bench.put("model.tar.gz", tar_gz({"code/inference.py": script.encode()}))}
    bench.sagemaker.create_model(ModelName="slow", ExecutionRoleArn=bench.role, PrimaryContainer=model)
    source = {"S3DataType": "S3Prefix", "S3Uri": bench.put("in/a", "a")}
    bench.sagemaker.create_transform_job(
        TransformJobName="slow",
        ModelName="slow",
        TransformInput={"DataSource": {"S3DataSource": source}},
        TransformOutput={"S3OutputPath": bench.uri("out")},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    place = home / "endpoints" / "transform.slow"
    deadline = time.monotonic() + 20
    while not list(place.glob("*/ml/model/code/inference.py")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    began = time.monotonic()
    stop_local_aws(server)
    assert time.monotonic() - began < 15
    again = start_local_aws(home)
    try:
        job = again.client("sagemaker").describe_transform_job(TransformJobName="slow")
        assert job["TransformJobStatus"] == "Failed"
        assert "The local AWS was restarted while the job ran" in job["FailureReason"]
        assert not place.exists()
    finally:
        stop_local_aws(again)


def test_killing_the_server_kills_its_jobs(server: LocalAws, home: Path) -> None:
    bench = Workbench(server)
    _, processes = start_job(bench, own_session=False)
    tuning = bench.tuning_request("import time; time.sleep(600)", {})
    bench.sagemaker.create_hyper_parameter_tuning_job(**tuning)
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    assert_gone(processes)
    again = start_local_aws(home)
    try:
        name = tuning["HyperParameterTuningJobName"]
        sagemaker = again.client("sagemaker")
        job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        assert job["HyperParameterTuningJobStatus"] == "Failed"
        assert "restarted" in job["FailureReason"]
        assert job["TrainingJobStatusCounters"]["InProgress"] == 0
        assert list((home / "jobs").glob("*/*")) == []
    finally:
        stop_local_aws(again)


def test_without_namespaces_jobs_are_told_where_their_files_are(home: Path) -> None:
    local = start_local_aws(home, PATH="/nowhere")
    try:
        bench = Workbench(local)
        script = "import os; open(os.environ['SM_MODEL_DIR'] + '/where', 'w').write(os.environ['SM_MODEL_DIR'])"
        job = bench.train(script)
        assert job["TrainingJobStatus"] == "Completed", job
        where = bench.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"])["where"]
        assert where.startswith(str(home))
        request = bench.processing_request("import sys; print(open(sys.argv[1] + '/work.py').read()[:10])")
        request["AppSpecification"]["ContainerArguments"] = ["/opt/ml/processing/input/code"]
        bench.sagemaker.create_processing_job(**request)
        done = bench.finished("ProcessingJob", request["ProcessingJobName"])
        assert done["ProcessingJobStatus"] == "Completed", done
        assert bench.lines("/aws/sagemaker/ProcessingJobs", request["ProcessingJobName"]) == ["import sys"]
    finally:
        stop_local_aws(local)
