"""Processing jobs on the local AWS, driven by boto3."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import LocalAws
from tests.localaws.jobs import IMAGE, Workbench, refused

GROUP = "/aws/sagemaker/ProcessingJobs"


@pytest.fixture(scope="module")
def bench(local_aws: LocalAws) -> Workbench:
    return Workbench(local_aws)


def outputs(bench: Workbench, prefix: str) -> dict[str, Any]:
    target = {"S3Uri": bench.uri(prefix), "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob"}
    return {"Outputs": [{"OutputName": "out", "S3Output": target}]}


def test_inputs_are_read_and_outputs_stored(bench: Workbench) -> None:
    bench.put("photos/dt=1/a.txt", "A")
    bench.put("photos/dt=2/b.txt", "B")
    manifest = bench.put("all.manifest", json.dumps([{"prefix": bench.uri("photos/")}, "dt=1/a.txt", "dt=2/b.txt"]))
    script = """
import os, pathlib, sys
photos = pathlib.Path("/opt/ml/processing/input/photos")
output = pathlib.Path("/opt/ml/processing/output/by-day")
output.mkdir()
for path in sorted(photos.rglob("*.txt")):
    (output / path.parent.name).write_text(path.read_text())
print("arguments", sys.argv[1:], os.environ["MY_SETTING"])
pathlib.Path("/opt/ml/output/message").write_text("two days")
"""
    request = bench.processing_request(
        script, ProcessingOutputConfig=outputs(bench, "results"), Environment={"MY_SETTING": "on"}
    )
    photos = {"S3Uri": manifest, "LocalPath": "/opt/ml/processing/input/photos", "S3DataType": "ManifestFile"}
    request["ProcessingInputs"].append({"InputName": "photos", "S3Input": photos})
    request["AppSpecification"]["ContainerArguments"] = ["--views", "2"]
    bench.sagemaker.create_processing_job(**request)
    job = bench.finished("ProcessingJob", request["ProcessingJobName"])
    assert (job["ProcessingJobStatus"], job["ExitMessage"]) == ("Completed", "two days")
    assert job["CreationTime"] <= job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    assert bench.keys("results/") == ["results/by-day/dt=1", "results/by-day/dt=2"]
    assert bench.get("results/by-day/dt=2") == b"B"
    assert bench.lines(GROUP, request["ProcessingJobName"]) == ["arguments ['--views', '2'] on"]


def test_continuous_output_is_stored_while_the_job_runs_and_even_if_it_fails(bench: Workbench) -> None:
    target = {"S3Uri": bench.uri("live"), "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "Continuous"}
    script = f"""
import boto3, time
output = open("/opt/ml/processing/output/progress", "w")
print("one", file=output, flush=True)
while not boto3.client("s3").list_objects_v2(Bucket="{bench.bucket}", Prefix="live/").get("Contents"):
    time.sleep(0.2)
print("two", file=output, flush=True)
raise SystemExit(1)
"""
    request = bench.processing_request(
        script, ProcessingOutputConfig={"Outputs": [{"OutputName": "out", "S3Output": target}]}
    )
    bench.sagemaker.create_processing_job(**request)
    assert bench.finished("ProcessingJob", request["ProcessingJobName"])["ProcessingJobStatus"] == "Failed"
    assert bench.get("live/progress") == b"one\ntwo\n"


@pytest.mark.parametrize("shares", [["a.txt c.txt", "b.txt"], ["a.txt", "b.txt", "c.txt", ""]])
@pytest.mark.parametrize("kind", ["S3Prefix", "ManifestFile"])
def test_instances_share_an_input_sharded_by_key(bench: Workbench, kind: str, shares: list[str]) -> None:
    names = [f"{name}.txt" for name in "abc"]
    for name in names:
        bench.put(f"parts/{name}", name)
    manifest = bench.put("parts.manifest", json.dumps([{"prefix": bench.uri("parts/")}, *names]))
    script = """
import json, pathlib
host = json.load(open("/opt/ml/config/resourceconfig.json"))["current_host"]
found = sorted(path.name for path in pathlib.Path("/opt/ml/processing/input/parts").iterdir())
pathlib.Path(f"/opt/ml/processing/output/{host}").write_text(" ".join(found))
"""
    request = bench.processing_request(script, ProcessingOutputConfig=outputs(bench, "shared"))
    parts = {"LocalPath": "/opt/ml/processing/input/parts", "S3DataDistributionType": "ShardedByS3Key"}
    parts |= {"S3DataType": kind, "S3Uri": manifest if kind == "ManifestFile" else bench.uri("parts/")}
    request["ProcessingInputs"].append({"InputName": "parts", "S3Input": parts})
    request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = len(shares)
    bench.sagemaker.create_processing_job(**request)
    assert bench.finished("ProcessingJob", request["ProcessingJobName"])["ProcessingJobStatus"] == "Completed"
    hosts = [f"algo-{number}" for number in range(1, len(shares) + 1)]
    assert [bench.get(f"shared/{host}").decode() for host in hosts] == shares


def test_many_objects_come_by_a_process_of_their_own_and_one_that_is_missing_is_told(bench: Workbench) -> None:
    names = [f"dt=1/{number:03}.txt" for number in range(501)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: bench.put(f"many/{name}", name), names[:-1]))
    count = "import pathlib; print(len(list(pathlib.Path('/opt/ml/processing/input/many').glob('dt=1/*.txt'))))"
    jobs = []
    for listed in (names[:-1], names):
        manifest = bench.put(f"{len(listed)}.manifest", json.dumps([{"prefix": bench.uri("many/")}, *listed]))
        request = bench.processing_request(count)
        many = {"S3Uri": manifest, "LocalPath": "/opt/ml/processing/input/many", "S3DataType": "ManifestFile"}
        request["ProcessingInputs"].append({"InputName": "many", "S3Input": many})
        bench.sagemaker.create_processing_job(**request)
        jobs.append(bench.finished("ProcessingJob", request["ProcessingJobName"]))
    assert bench.lines(GROUP, jobs[0]["ProcessingJobName"]) == ["500"]
    assert jobs[1]["FailureReason"].startswith(
        f"ClientError: Input many: download failed: {bench.uri('many/dt=1/500.txt')}: An error occurred (NoSuchKey)"
    )


def test_model_archive_arrives_under_its_own_name(bench: Workbench) -> None:
    address = bench.put("models/job/output/model.tar.gz", b"packed")
    request = bench.processing_request("print(open('/opt/ml/processing/input/model/model.tar.gz').read())")
    model = {"S3Uri": address, "LocalPath": "/opt/ml/processing/input/model", "S3DataType": "S3Prefix"}
    request["ProcessingInputs"].append({"InputName": "model", "S3Input": model})
    bench.sagemaker.create_processing_job(**request)
    assert bench.finished("ProcessingJob", request["ProcessingJobName"])["ProcessingJobStatus"] == "Completed"
    assert bench.lines(GROUP, request["ProcessingJobName"]) == ["packed"]


def test_failing_script_fails_the_job_and_stores_nothing(bench: Workbench) -> None:
    script = "open('/opt/ml/processing/output/half', 'w').write('x')\nraise ValueError('too many unreadable photos')"
    job = bench.process(script, ProcessingOutputConfig=outputs(bench, "failed"))
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: ValueError: too many unreadable photos, exit code: 1"
    assert bench.keys("failed") == []


def test_role_without_the_right_to_write_fails_the_job(bench: Workbench) -> None:
    role = bench.make_role(["s3:GetObject"], ["s3:ListBucket"])
    script = "open('/opt/ml/processing/output/report', 'w').write('x')"
    job = bench.process(script, RoleArn=role, ProcessingOutputConfig=outputs(bench, "denied"))
    assert job["ProcessingJobStatus"] == "Failed"
    assert "Output upload failed" in job["FailureReason"]
    assert "AccessDenied" in job["FailureReason"]


def test_input_that_is_not_there_fails_the_job_by_its_name(bench: Workbench) -> None:
    request = bench.processing_request("")
    request["ProcessingInputs"][0]["S3Input"]["S3Uri"] = bench.uri("nothing")
    bench.sagemaker.create_processing_job(**request)
    job = bench.finished("ProcessingJob", request["ProcessingJobName"])
    assert job["ProcessingJobStatus"] == "Failed"
    assert "Input code: download failed: No S3 objects found" in job["FailureReason"]


def test_image_that_is_not_pytorchs_fails_the_job(bench: Workbench) -> None:
    specification = {"ImageUri": IMAGE.replace("pytorch", "tensorflow"), "ContainerEntrypoint": ["true"]}
    job = bench.process("", AppSpecification=specification)
    assert job["ProcessingJobStatus"] == "Failed"
    assert "runs only PyTorch deep learning images" in job["FailureReason"]


def test_command_that_does_not_exist_fails_the_job(bench: Workbench) -> None:
    job = bench.process("", AppSpecification={"ImageUri": IMAGE, "ContainerEntrypoint": ["no-such-command"]})
    assert job["ProcessingJobStatus"] == "Failed"
    assert "no-such-command: not found" in job["FailureReason"]


def test_script_over_its_time_is_stopped(bench: Workbench) -> None:
    job = bench.process("import time; time.sleep(600)", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert job["ProcessingJobStatus"] == "Stopped"
    assert "MaxRuntimeInSeconds" in job["FailureReason"]


def test_stop_ends_the_job(bench: Workbench) -> None:
    request = bench.processing_request("print('up', flush=True); import time; time.sleep(600)")
    name = request["ProcessingJobName"]
    bench.sagemaker.create_processing_job(**request)
    deadline = time.monotonic() + 20
    while bench.lines(GROUP, name) != ["up"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    bench.sagemaker.stop_processing_job(ProcessingJobName=name)
    assert bench.finished("ProcessingJob", name)["ProcessingJobStatus"] == "Stopped"
    code, message = refused(bench.sagemaker.stop_processing_job, ProcessingJobName=name)
    assert (code, "is in status Stopped" in message) == ("ValidationException", True)


def test_name_that_is_taken_is_refused(bench: Workbench) -> None:
    job = bench.process("")
    request = bench.processing_request("", ProcessingJobName=job["ProcessingJobName"])
    code, message = refused(bench.sagemaker.create_processing_job, **request)
    assert code == "ResourceInUse"
    assert message.startswith("Job name must be unique within an AWS account and region")


def test_unknown_job_is_not_found(bench: Workbench) -> None:
    code, message = refused(bench.sagemaker.describe_processing_job, ProcessingJobName="nobody")
    assert (code, message) == ("ValidationException", "Could not find requested job with name: nobody")


@pytest.mark.parametrize(
    ("path", "words"), [("/tmp/x", "must begin with /opt/ml/processing"), ("/opt/ml/processing/../x", "must begin")]
)
def test_path_outside_of_processing_is_refused(bench: Workbench, path: str, words: str) -> None:
    request = bench.processing_request("")
    request["ProcessingInputs"][0]["S3Input"]["LocalPath"] = path
    code, message = refused(bench.sagemaker.create_processing_job, **request)
    assert (code, words in message) == ("ValidationException", True)


def test_listing_filters_by_name_and_status(bench: Workbench) -> None:
    job = bench.process("")
    found = bench.sagemaker.list_processing_jobs(NameContains=job["ProcessingJobName"], StatusEquals="Completed")
    assert [item["ProcessingJobName"] for item in found["ProcessingJobSummaries"]] == [job["ProcessingJobName"]]
    found = bench.sagemaker.list_processing_jobs(NameContains=job["ProcessingJobName"], StatusEquals="Failed")
    assert found["ProcessingJobSummaries"] == []
