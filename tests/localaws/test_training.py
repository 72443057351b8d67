"""Training jobs on the local AWS, driven by boto3: what the script finds, what comes out, and how a job can end."""

import importlib.util
import ipaddress
import json
import re
import time
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import LocalAws
from tests.localaws.jobs import IMAGE, Workbench, refused, tar_gz

GROUP = "/aws/sagemaker/TrainingJobs"
SAY_ALL = """
import json, os, pathlib, sys
files = sorted(str(path.relative_to("/opt/ml")) for path in pathlib.Path("/opt/ml").rglob("*") if path.is_file())
seen = {"argv": sys.argv, "cwd": os.getcwd(), "env": dict(os.environ), "files": files}
pathlib.Path(os.environ["SM_MODEL_DIR"], "seen.json").write_text(json.dumps(seen))
"""
WAIT = """
import signal, sys, time
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def bench(local_aws: LocalAws) -> Workbench:
    return Workbench(local_aws)


def transitions(job: dict[str, Any]) -> list[str]:
    return [entry["Status"] for entry in job["SecondaryStatusTransitions"]]


def test_script_finds_what_a_deep_learning_container_gives_it(bench: Workbench) -> None:
    bench.put("data/breeds/001.Pug/a.txt", "a pug")
    hyperparameters = bench.source(SAY_ALL) | {"learning_rate": '"0.01"', "batch_size": "64", "note": "plain words"}
    request = bench.training_request(
        hyperparameters,
        InputDataConfig=[bench.channel("breeds", bench.uri("data/breeds/"))],
        Environment={"MY_SETTING": "on"},
    )
    bench.sagemaker.create_training_job(**request)
    name = request["TrainingJobName"]
    job = bench.finished("TrainingJob", name)
    assert job["TrainingJobStatus"] == "Completed", job
    assert transitions(job) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == bench.uri(f"models/{name}/output/model.tar.gz")
    seen = json.loads(bench.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"])["seen.json"])
    assert seen["argv"] == ["train.py", "--batch_size", "64", "--learning_rate", "0.01", "--note", "plain words"]
    assert seen["cwd"] == "/opt/ml/code"
    assert "input/data/breeds/001.Pug/a.txt" in seen["files"]
    assert {f"input/config/{file}.json" for file in ("hyperparameters", "inputdataconfig", "resourceconfig")} <= set(
        seen["files"]
    )
    env = seen["env"]
    assert env["SM_CHANNEL_BREEDS"] == "/opt/ml/input/data/breeds"
    assert (env["SM_MODEL_DIR"], env["SM_OUTPUT_DATA_DIR"]) == ("/opt/ml/model", "/opt/ml/output/data")
    assert json.loads(env["SM_HPS"]) == {"batch_size": 64, "learning_rate": "0.01", "note": "plain words"}
    assert json.loads(env["SM_TRAINING_ENV"])["job_name"] == name
    assert (env["SM_CURRENT_HOST"], env["SM_HOSTS"], env["SM_NUM_GPUS"]) == ("algo-1", '["algo-1"]', "0")
    assert (env["MY_SETTING"], env["TRAINING_JOB_NAME"]) == ("on", name)


def test_script_has_the_roles_rights_and_none_of_the_servers_settings(bench: Workbench) -> None:
    script = f"""
import boto3, os
print("identity", boto3.client("sts").get_caller_identity()["Arn"])
print("server", sorted(set(os.environ) & {{"AUTH", "STATE_DIR", "S3_DATA_DIR", "GATEWAY_PORT", "LOCALAWS_HOME"}}))
boto3.client("s3").delete_object(Bucket="{bench.bucket}", Key="data/x")
"""
    job = bench.train(script)
    lines = bench.lines(GROUP, job["TrainingJobName"])
    role = bench.role.rpartition("/")[2]
    assert any(re.match(rf"identity arn:aws:sts::\d+:assumed-role/{role}/", line) for line in lines), lines
    assert "server []" in lines
    assert job["TrainingJobStatus"] == "Failed"
    assert "AccessDenied" in job["FailureReason"]


def test_every_line_reaches_the_logs_in_order(bench: Workbench) -> None:
    count = 20_000
    job = bench.train(f"for number in range({count}): print('line', number)")
    assert job["TrainingJobStatus"] == "Completed", job
    assert bench.lines(GROUP, job["TrainingJobName"]) == [f"line {number}" for number in range(count)]


def test_lines_can_be_read_while_the_job_runs(bench: Workbench) -> None:
    request = bench.training_request(bench.source(WAIT))
    name = request["TrainingJobName"]
    bench.sagemaker.create_training_job(**request)
    bench.until("TrainingJob", name, lambda job: job["SecondaryStatus"] == "Training")
    deadline = time.monotonic() + 20
    while bench.lines(GROUP, name) != ["up"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    bench.sagemaker.stop_training_job(TrainingJobName=name)
    assert bench.finished("TrainingJob", name)["TrainingJobStatus"] == "Stopped"


def test_metrics_are_the_last_values_that_the_expressions_match(bench: Workbench) -> None:
    job = bench.train("for loss in ('0.9', 'nan', '1.5e-1', 'so-so'): print(f'epoch loss={loss}')")
    [metric] = job["FinalMetricDataList"]
    assert (metric["MetricName"], metric["Value"]) == ("loss", 0.15)


def test_manifest_brings_each_object_under_its_own_path(bench: Workbench) -> None:
    bench.put("photos/dt=1/a.txt", "A")
    bench.put("photos/dt=2/b.txt", "B")
    bench.put("photos/dt=2/unlisted.txt", "C")
    listed = [{"prefix": bench.uri("photos/")}, "dt=1/a.txt", "dt=2/b.txt"]
    manifest = bench.put("some.manifest", json.dumps(listed))
    job = bench.train(SAY_ALL, InputDataConfig=[bench.channel("photos", manifest, "ManifestFile")])
    seen = json.loads(bench.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"])["seen.json"])
    data = [file for file in seen["files"] if file.startswith("input/data")]
    assert data == ["input/data/photos/dt=1/a.txt", "input/data/photos/dt=2/b.txt"]


def test_fast_file_channel_is_there_when_the_script_starts(bench: Workbench) -> None:
    bench.put("fast/a.txt", "A")
    script = """
import json, pathlib
print(json.load(open("/opt/ml/input/config/inputdataconfig.json"))["fast"]["TrainingInputMode"])
print(pathlib.Path("/opt/ml/input/data/fast/a.txt").read_text())
"""
    job = bench.train(script, InputDataConfig=[{**bench.channel("fast", bench.uri("fast/")), "InputMode": "FastFile"}])
    assert bench.lines(GROUP, job["TrainingJobName"]) == ["FastFile", "A"]


def test_augmented_manifest_brings_its_lines_and_what_they_refer_to(bench: Workbench) -> None:
    records = [
        {"source-ref": bench.put(f"augmented/photos/{name}.txt", name), "class": number, "note": "not asked for"}
        for number, name in enumerate("abc")
    ]
    manifest = bench.put("augmented/train.manifest", "".join(f"{json.dumps(record)}\n" for record in records))
    channel = bench.channel("train", manifest, "AugmentedManifestFile")
    channel["DataSource"]["S3DataSource"]["AttributeNames"] = ["source-ref", "class"]
    script = """
import json, pathlib
channel = pathlib.Path("/opt/ml/input/data/train")
for line in (channel / "train.manifest").read_text().splitlines():
    record = json.loads(line)
    key = record["source-ref"].split("/", 3)[3]
    print(sorted(record), record["class"], (channel / key).read_text())
"""
    job = bench.train(script, InputDataConfig=[channel])
    lines = bench.lines(GROUP, job["TrainingJobName"])
    assert lines == [f"['class', 'source-ref'] {number} {name}" for number, name in enumerate("abc")]


@pytest.mark.parametrize(
    ("content", "words"),
    [("not json", "is not an augmented manifest"), ('{"class": 1}', "a line has no attribute 'source-ref'")],
)
def test_augmented_manifest_that_is_none_fails_the_job(bench: Workbench, content: str, words: str) -> None:
    channel = bench.channel("train", bench.put("augmented/bad.manifest", content), "AugmentedManifestFile")
    channel["DataSource"]["S3DataSource"]["AttributeNames"] = ["source-ref"]
    job = bench.train("", InputDataConfig=[channel])
    assert job["TrainingJobStatus"] == "Failed"
    assert words in job["FailureReason"]


def test_each_instance_gets_its_share_of_a_channel_sharded_by_key(bench: Workbench) -> None:
    for name in "abcde":
        bench.put(f"shards/{name}.txt", name)
    sharded = bench.channel("sharded", bench.uri("shards/"))
    sharded["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    script = """
import json, os, pathlib
found = {name: sorted(path.name[0] for path in pathlib.Path(f"/opt/ml/input/data/{name}").iterdir())
         for name in ("sharded", "whole")}
pathlib.Path("/opt/ml/model", os.environ["SM_CURRENT_HOST"]).write_text(json.dumps(found))
"""
    job = bench.train(
        script,
        InputDataConfig=[sharded, bench.channel("whole", bench.uri("shards/"))],
        ResourceConfig={"InstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
    )
    found = {host: json.loads(text) for host, text in bench.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"]).items()}
    assert sorted(found["algo-1"]["sharded"] + found["algo-2"]["sharded"]) == list("abcde")
    assert {len(found[host]["sharded"]) for host in found} == {2, 3}
    assert [found[host]["whole"] for host in found] == [list("abcde")] * 2


def test_metrics_are_a_series_in_cloudwatch(bench: Workbench, local_aws: LocalAws) -> None:
    job = bench.train("for loss in (4, 2, 3): print(f'loss={loss}')")
    window = {"StartTime": job["TrainingStartTime"] - timedelta(minutes=1)}
    window["EndTime"] = job["TrainingEndTime"] + timedelta(minutes=1)
    answer = local_aws.client("cloudwatch").get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs",
        MetricName="loss",
        Dimensions=[{"Name": "TrainingJobName", "Value": job["TrainingJobName"]}],
        Period=3600,
        Statistics=["Average", "Minimum", "Maximum", "SampleCount"],
        **window,
    )
    points = answer["Datapoints"]
    assert sum(point["SampleCount"] for point in points) == 3
    assert sum(point["Average"] * point["SampleCount"] for point in points) == 9
    assert (min(point["Minimum"] for point in points), max(point["Maximum"] for point in points)) == (2, 4)


def test_settings_of_the_request_are_described_as_they_were_given(bench: Workbench) -> None:
    key = "arn:aws:kms:us-east-1:000000000000:key/0123"
    rule = {"RuleConfigurationName": "LossNotDecreasing", "RuleEvaluatorImage": "image", "VolumeSizeInGB": 0}
    given = {
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
        "OutputDataConfig": {"S3OutputPath": bench.uri("models/"), "KmsKeyId": key},
        "DebugHookConfig": {"S3OutputPath": bench.uri("debug/")},
        "DebugRuleConfigurations": [rule],
        "TensorBoardOutputConfig": {"S3OutputPath": bench.uri("tensorboard/")},
        "ProfilerConfig": {"S3OutputPath": bench.uri("profile/"), "ProfilingIntervalInMilliseconds": 500},
        "ExperimentConfig": {"ExperimentName": "dogs"},
        "RetryStrategy": {"MaximumRetryAttempts": 1},
        "Environment": {"COLOUR": "brown"},
        "ResourceConfig": {
            "InstanceCount": 1,
            "InstanceType": "ml.m5.large",
            "VolumeSizeInGB": 1,
            "VolumeKmsKeyId": key,
            "KeepAlivePeriodInSeconds": 60,
        },
    }
    request = bench.training_request(bench.source(""), **given, Tags=[{"Key": "team", "Value": "dogs"}])
    request["AlgorithmSpecification"]["EnableSageMakerMetricsTimeSeries"] = True
    arn = bench.sagemaker.create_training_job(**request)["TrainingJobArn"]
    job = bench.finished("TrainingJob", request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed", job
    assert {name: job[name] for name in given} == given
    assert job["AlgorithmSpecification"] == request["AlgorithmSpecification"]
    assert (job["ProfilingStatus"], job["EnableManagedSpotTraining"]) == ("Enabled", False)
    assert job["BillableTimeInSeconds"] == job["TrainingTimeInSeconds"] >= 1
    assert bench.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "dogs"}]
    assert bench.train("")["OutputDataConfig"]["KmsKeyId"] == ""


def test_output_data_stands_beside_the_model(bench: Workbench) -> None:
    job = bench.train("open('/opt/ml/output/data/curve.txt', 'w').write('down')")
    artifacts = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert bench.unpacked(artifacts) == {}
    assert bench.unpacked(artifacts.replace("model.tar.gz", "output.tar.gz")) == {"curve.txt": "down"}


def test_each_instance_is_a_process_that_reaches_the_others_by_name(bench: Workbench) -> None:
    script = """
import json, os, socket
config = json.load(open("/opt/ml/input/config/resourceconfig.json"))
host = config["current_host"]
assert host == os.environ["SM_CURRENT_HOST"] and config["hosts"] == ["algo-1", "algo-2"]
open(f"/opt/ml/model/{host}", "w").write(",".join(socket.gethostbyname(name) for name in config["hosts"]))
"""
    resources = {"InstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    job = bench.train(script, ResourceConfig=resources)
    assert job["TrainingJobStatus"] == "Completed", job
    found = bench.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"])
    first, second = found["algo-1"].split(",")
    assert found["algo-2"] == f"{first},{second}"
    assert first != second
    assert all(ipaddress.ip_address(address).is_loopback for address in (first, second))
    streams = bench.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=job["TrainingJobName"])
    assert len(streams["logStreams"]) == 2


def test_entrypoint_and_arguments_of_the_request_are_what_runs(bench: Workbench) -> None:
    bench.put("drivers/sm_train.sh", "\n#!/bin/bash\nset -e\necho $TRAINING_JOB_NAME > /opt/ml/model/name\n")
    run = "chmod +x /opt/ml/input/data/sm_drivers/sm_train.sh && /opt/ml/input/data/sm_drivers/sm_train.sh"
    request = bench.training_request(
        {},
        AlgorithmSpecification={
            "TrainingInputMode": "File",
            "TrainingImage": IMAGE,
            "ContainerEntrypoint": ["/bin/bash"],
            "ContainerArguments": ["-c", run],
        },
        InputDataConfig=[bench.channel("sm_drivers", bench.uri("drivers"))],
    )
    bench.sagemaker.create_training_job(**request)
    job = bench.finished("TrainingJob", request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed", job
    assert bench.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"name": f"{request['TrainingJobName']}\n"}


def test_requirements_that_are_there_cost_nothing(bench: Workbench) -> None:
    source = bench.source(
        "print('ran')", **{"requirements.txt": "numpy>=1.20\n# a remark\ntorch ; python_version > '3'\n"}
    )
    request = bench.training_request(source)
    bench.sagemaker.create_training_job(**request)
    assert bench.finished("TrainingJob", request["TrainingJobName"])["TrainingJobStatus"] == "Completed"
    assert bench.lines(GROUP, request["TrainingJobName"]) == ["ran"]


def test_missing_requirement_is_installed_for_this_job_only(bench: Workbench) -> None:
    request = bench.request_of_a_wheel("import dogtools, numpy; print('breeds', dogtools.BREEDS)")
    bench.sagemaker.create_training_job(**request)
    job = bench.finished("TrainingJob", request["TrainingJobName"])
    lines = bench.lines(GROUP, request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed", lines
    assert lines[-1] == "breeds 133"
    assert importlib.util.find_spec("dogtools") is None


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("raise SystemExit(3)", r"AlgorithmError: ExecuteUserScriptError:\nExitCode 3\n.*exit code: 3$"),
        ("raise ValueError('no such breed')", r'ErrorMessage "ValueError: no such breed"'),
        (
            "open('/opt/ml/output/failure', 'w').write('my own words'); exit(1)",
            r"AlgorithmError: my own words, exit code: 1",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", r"exit code: -9"),
    ],
)
def test_failing_script_fails_the_job_with_its_reason(bench: Workbench, script: str, reason: str) -> None:
    job = bench.train(script)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert re.search(reason, job["FailureReason"], re.DOTALL), job["FailureReason"]
    assert bench.keys(f"models/{job['TrainingJobName']}") == []


@pytest.mark.parametrize(
    ("hyperparameters", "reason"),
    [
        ({}, "names no script"),
        ({"sagemaker_program": "absent.py"}, "The entry point absent.py is not in s3://"),
        ({"sagemaker_submit_directory": "{bucket}/code/text.tar.gz"}, "not a tar.gz archive"),
        ({"sagemaker_submit_directory": "{bucket}/code/absent.tar.gz"}, "NoSuchKey"),
        ({"sagemaker_submit_directory": "{bucket}/code/escape.tar.gz"}, "not a tar.gz archive that can be unpacked"),
    ],
)
def test_source_that_cannot_be_used_fails_the_job(
    bench: Workbench, hyperparameters: dict[str, str], reason: str
) -> None:
    bench.put("code/text.tar.gz", "this is text")
    bench.put("code/escape.tar.gz", tar_gz({"../../escaped.py": b""}))
    changed = {name: value.format(bucket=f"s3://{bench.bucket}") for name, value in hyperparameters.items()}
    request = bench.training_request(bench.source("") | changed if hyperparameters else {})
    bench.sagemaker.create_training_job(**request)
    job = bench.finished("TrainingJob", request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Failed"
    assert reason in job["FailureReason"]


def test_input_that_is_not_there_fails_the_job(bench: Workbench) -> None:
    job = bench.train("", InputDataConfig=[bench.channel("data", bench.uri("nothing/here"))])
    assert job["TrainingJobStatus"] == "Failed"
    assert "No S3 objects found under S3 URL" in job["FailureReason"]


def test_input_whose_name_leaves_its_directory_fails_the_job(bench: Workbench) -> None:
    manifest = bench.put("bad.manifest", json.dumps([{"prefix": bench.uri("a/")}, "../../../../escaped"]))
    job = bench.train("", InputDataConfig=[bench.channel("data", manifest, "ManifestFile")])
    assert job["TrainingJobStatus"] == "Failed"
    assert "leads out of the input directory" in job["FailureReason"]


def test_role_without_the_right_to_read_fails_the_job(bench: Workbench) -> None:
    bench.put("data/breeds/x.txt", "x")
    role = bench.make_role(["s3:PutObject"], ["s3:ListBucket"])
    job = bench.train("", RoleArn=role, InputDataConfig=[bench.channel("data", bench.uri("data/breeds/"))])
    assert job["TrainingJobStatus"] == "Failed"
    assert "AccessDenied" in job["FailureReason"]


def test_role_without_the_right_to_write_fails_the_job(bench: Workbench) -> None:
    job = bench.train("", RoleArn=bench.make_role(["s3:GetObject"], ["s3:ListBucket"]))
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Artifact upload failed")
    assert "AccessDenied" in job["FailureReason"]


def test_image_that_is_not_pytorchs_fails_the_job(bench: Workbench) -> None:
    image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
    job = bench.train("", AlgorithmSpecification={"TrainingInputMode": "File", "TrainingImage": image})
    assert job["TrainingJobStatus"] == "Failed"
    assert "runs only PyTorch deep learning images" in job["FailureReason"]


def test_script_over_its_time_is_stopped_and_keeps_its_model(bench: Workbench) -> None:
    script = "open('/opt/ml/model/half', 'w').write('trained'); import time; time.sleep(600)"
    job = bench.train(script, StoppingCondition={"MaxRuntimeInSeconds": 8})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert bench.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"half": "trained"}


def test_stop_gives_the_script_time_to_save(bench: Workbench) -> None:
    script = """
import signal, sys, time
def save(*_):
    open("/opt/ml/model/saved", "w").write("in time")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
time.sleep(600)
"""
    request = bench.training_request(bench.source(script))
    name = request["TrainingJobName"]
    bench.sagemaker.create_training_job(**request)
    bench.until("TrainingJob", name, lambda job: job["SecondaryStatus"] == "Training")
    while bench.lines(GROUP, name) != ["ready"]:
        time.sleep(0.05)
    bench.sagemaker.stop_training_job(TrainingJobName=name)
    job = bench.finished("TrainingJob", name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert transitions(job)[-3:] == ["Stopping", "Uploading", "Stopped"]
    assert bench.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"saved": "in time"}
    code, message = refused(bench.sagemaker.stop_training_job, TrainingJobName=name)
    assert (code, "Stopped" in message) == ("ValidationException", True)


def test_name_that_is_taken_is_refused(bench: Workbench) -> None:
    job = bench.train("")
    request = bench.training_request({}, TrainingJobName=job["TrainingJobName"])
    code, message = refused(bench.sagemaker.create_training_job, **request)
    assert code == "ResourceInUse"
    assert message.startswith("Training job names must be unique within an AWS account and region")


def test_unknown_job_is_not_found(bench: Workbench) -> None:
    for operation in (bench.sagemaker.describe_training_job, bench.sagemaker.stop_training_job):
        assert refused(operation, TrainingJobName="nobody") == ("ValidationException", "Requested resource not found.")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"RoleArn": "arn:aws:iam::000000000000:role/nobody"}, "Could not assume role"),
        ({"InputDataConfig": ["RecordIO"]}, "RecordWrapperType RecordIO needs the input mode Pipe"),
        ({"AlgorithmSpecification": "("}, "regular expression of the metric broken is invalid"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(bench: Workbench, change: dict[str, Any], words: str) -> None:
    if "InputDataConfig" in change:
        change = {"InputDataConfig": [{**bench.channel("data", bench.uri("data")), "RecordWrapperType": "RecordIO"}]}
    request = bench.training_request({})
    if "AlgorithmSpecification" in change:
        broken = [{"Name": "broken", "Regex": "("}]
        change = {"AlgorithmSpecification": {**request["AlgorithmSpecification"], "MetricDefinitions": broken}}
    code, message = refused(bench.sagemaker.create_training_job, **{**request, **change})
    assert code == "ValidationException"
    assert words in message


def test_listing_filters_sorts_and_pages(bench: Workbench) -> None:
    prefix = "listed-by-name"
    for number in range(3):
        bench.sagemaker.create_training_job(
            **bench.training_request(bench.source(""), TrainingJobName=f"{prefix}-{number}")
        )
    for number in range(3):
        bench.finished("TrainingJob", f"{prefix}-{number}")
    pages = list(
        bench.sagemaker.get_paginator("list_training_jobs").paginate(
            NameContains=prefix,
            StatusEquals="Completed",
            SortBy="Name",
            SortOrder="Ascending",
            PaginationConfig={"PageSize": 2},
        )
    )
    names = [[job["TrainingJobName"] for job in page["TrainingJobSummaries"]] for page in pages]
    assert names == [[f"{prefix}-0", f"{prefix}-1"], [f"{prefix}-2"]]
    failed = bench.sagemaker.list_training_jobs(NameContains=prefix, StatusEquals="Failed")
    assert failed["TrainingJobSummaries"] == []
