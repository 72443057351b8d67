"""Batch transform jobs on the local AWS, driven by boto3 and by the Amazon provider's operator."""

import gzip
import json
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.amazon.aws.operators.sagemaker import SageMakerTransformOperator

from tests.conftest import LocalAws
from tests.localaws.jobs import IMAGE, Workbench, refused, tar_gz, unique

GROUP = "/aws/sagemaker/TransformJobs"
# Answers with the number of lines and what they were, in capitals; fails on "bad" and hangs on "hang".
SHOUT = """
import os, time

def model_fn(model_dir):
    print("batch", os.environ["SAGEMAKER_BATCH"], os.environ["SAGEMAKER_BATCH_STRATEGY"], os.environ.get("COLOUR"))

def transform_fn(model, body, content_type, accept):
    text = bytes(body).decode() if not isinstance(body, str) else body
    if "bad" in text:
        raise ValueError("this is bad")
    if "hang" in text:
        time.sleep(600)
    return f"{len(text.splitlines())}:{text.upper()}", accept
"""


@pytest.fixture(scope="module")
def bench(local_aws: LocalAws) -> Workbench:
    return Workbench(local_aws)


@pytest.fixture(scope="module")
def make_model(bench: Workbench) -> Callable[..., str]:
    """Create a model from its model.tar.gz; returns its name."""

    def make(archive: bytes, **container: str) -> str:
        name = unique("model")
        address = bench.put(f"{name}/model.tar.gz", archive)
        bench.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=bench.role,
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": address, **container},
        )
        return name

    return make


@pytest.fixture(scope="module")
def model(make_model: Callable[..., str]) -> str:
    return make_model(tar_gz({"code/inference.py": SHOUT.encode()}))


def transform_request(
    bench: Workbench, model: str, prefix: str, given: Any = (), made: Any = (), **changes: Any
) -> Any:
    """A CreateTransformJob request, with a name of its own, over all under `prefix/in/`, to `prefix/out`."""
    source = {"S3DataType": "S3Prefix", "S3Uri": bench.uri(f"{prefix}/in/")}
    return {
        "TransformJobName": unique("transform"),
        "ModelName": model,
        "TransformInput": {"DataSource": {"S3DataSource": source}, "ContentType": "text/csv", **dict(given)},
        "TransformOutput": {"S3OutputPath": bench.uri(f"{prefix}/out"), **dict(made)},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **changes,
    }


def finished(bench: Workbench, request: Any) -> dict[str, Any]:
    """Create the job and wait as boto3 does; returns the description."""
    bench.sagemaker.create_transform_job(**request)
    name = request["TransformJobName"]
    deadline = time.monotonic() + 60
    while (job := bench.sagemaker.describe_transform_job(TransformJobName=name))["TransformJobStatus"] == "InProgress":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    described: dict[str, Any] = job
    return described


def test_every_object_is_transformed_under_its_own_name(bench: Workbench, model: str) -> None:
    prefix = unique("batch")
    bench.put(f"{prefix}/in/a.csv", "one\ntwo\n")
    bench.put(f"{prefix}/in/deep/b.csv", "three")
    request = transform_request(bench, model, prefix, Environment={"COLOUR": "brown"})
    name = request["TransformJobName"]
    bench.sagemaker.create_transform_job(**request)
    waiter = bench.sagemaker.get_waiter("transform_job_completed_or_stopped")
    waiter.wait(TransformJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    job = bench.sagemaker.describe_transform_job(TransformJobName=name)
    assert job["TransformJobStatus"] == "Completed"
    assert job["CreationTime"] <= job["TransformStartTime"] <= job["TransformEndTime"]
    assert {member: job[member] for member in request} == request
    assert bench.keys(f"{prefix}/out") == [f"{prefix}/out/a.csv.out", f"{prefix}/out/deep/b.csv.out"]
    assert bench.get(f"{prefix}/out/a.csv.out") == b"2:ONE\nTWO\n"
    assert bench.get(f"{prefix}/out/deep/b.csv.out") == b"1:THREE"
    streams = bench.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
    [stream] = [stream["logStreamName"] for stream in streams]
    events = bench.logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)["events"]
    assert [event["message"] for event in events] == ["batch true MultiRecord brown"]


@pytest.mark.parametrize(
    ("given", "made", "changes", "result"),
    [
        ({"SplitType": "Line"}, {}, {"BatchStrategy": "SingleRecord"}, "1:ONE1:TWO1:THREE"),
        ({"SplitType": "Line"}, {"AssembleWith": "Line"}, {"BatchStrategy": "SingleRecord"}, "1:ONE\n1:TWO\n1:THREE\n"),
        ({"SplitType": "Line"}, {"AssembleWith": "Line"}, {"BatchStrategy": "MultiRecord"}, "3:ONE\nTWO\nTHREE\n"),
        ({"CompressionType": "Gzip"}, {}, {}, "3:ONE\nTWO\nTHREE\n"),
    ],
)
def test_records_are_split_and_put_together(
    bench: Workbench, model: str, given: dict[str, str], made: dict[str, str], changes: dict[str, Any], result: str
) -> None:
    prefix, content = unique("batch"), b"one\ntwo\nthree\n"
    bench.put(f"{prefix}/in/a", gzip.compress(content) if "CompressionType" in given else content)
    job = finished(bench, transform_request(bench, model, prefix, given, made, **changes))
    assert job["TransformJobStatus"] == "Completed", job
    assert bench.get(f"{prefix}/out/a.out").decode() == result


def test_several_instances_share_the_objects_of_a_manifest(bench: Workbench, model: str) -> None:
    prefix = unique("batch")
    for number in range(5):
        bench.put(f"{prefix}/in/{number}.csv", f"n{number}")
    listed = [{"prefix": bench.uri(f"{prefix}/in/")}, *(f"{number}.csv" for number in range(4))]
    source = {"S3DataType": "ManifestFile", "S3Uri": bench.put(f"{prefix}/manifest", json.dumps(listed))}
    request = transform_request(
        bench, model, prefix, {"DataSource": {"S3DataSource": source}}, MaxConcurrentTransforms=2
    )
    request["TransformResources"]["InstanceCount"] = 2
    assert finished(bench, request)["TransformJobStatus"] == "Completed"
    assert [bench.get(key) for key in bench.keys(f"{prefix}/out")] == [f"1:N{number}".encode() for number in range(4)]
    prefix = f"{request['TransformJobName']}/"
    assert len(bench.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=prefix)["logStreams"]) == 2


def test_object_that_the_model_refuses_fails_the_job_and_no_other_object(bench: Workbench, model: str) -> None:
    prefix = unique("batch")
    bench.put(f"{prefix}/in/a", "bad")
    bench.put(f"{prefix}/in/b", "good")
    job = finished(bench, transform_request(bench, model, prefix, ModelClientConfig={"InvocationsMaxRetries": 0}))
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: See job logs for more information")
    assert "500 this is bad" in job["FailureReason"]
    assert bench.uri(f"{prefix}/in/a") in job["FailureReason"]
    assert bench.keys(f"{prefix}/out") == [f"{prefix}/out/b.out"]


@pytest.mark.parametrize(
    ("archive", "container", "reason"),
    [
        (b"this is text", {}, "Failed to extract model data for transform job"),
        (tar_gz({"../escaped": b""}), {}, "Failed to extract model data for transform job"),
        (
            tar_gz({"code/inference.py": b"def model_fn(d): raise ValueError('no weights')"}),
            {},
            "ValueError: no weights",
        ),
        (b"", {"Image": "xgboost:1.7"}, "runs only PyTorch deep learning images"),
        (b"", {"ModelDataUrl": "s3://no-such-bucket/model.tar.gz"}, "Failed to download model data for transform job"),
    ],
    ids=["no tar", "escapes", "raises", "other image", "no such bucket"],
)
def test_model_that_cannot_be_served_fails_the_job(
    bench: Workbench, make_model: Callable[..., str], archive: bytes, container: dict[str, str], reason: str
) -> None:
    job = finished(bench, transform_request(bench, make_model(archive, **container), unique("batch")))
    assert job["TransformJobStatus"] == "Failed"
    assert reason in job["FailureReason"]


@pytest.mark.parametrize(
    ("content", "given", "changes", "reason"),
    [
        (None, {}, {}, "No S3 objects found under S3 URL"),
        (b"not zipped", {"CompressionType": "Gzip"}, {}, "Data decompression failed"),
        (b"x" * 1_048_577, {}, {"MaxPayloadInMB": 1}, "larger than MaxPayloadInMB"),
    ],
)
def test_input_that_cannot_be_used_fails_the_job(
    bench: Workbench, model: str, content: bytes | None, given: dict[str, str], changes: dict[str, Any], reason: str
) -> None:
    prefix = unique("batch")
    if content is not None:
        bench.put(f"{prefix}/in/a", content)
    job = finished(bench, transform_request(bench, model, prefix, given, **changes))
    assert job["TransformJobStatus"] == "Failed"
    assert reason in job["FailureReason"]


def test_stop_ends_the_job_at_once_and_keeps_what_was_done(bench: Workbench, model: str) -> None:
    prefix = unique("batch")
    bench.put(f"{prefix}/in/a", "done")
    bench.put(f"{prefix}/in/b", "hang")
    request = transform_request(bench, model, prefix)
    name = request["TransformJobName"]
    bench.sagemaker.create_transform_job(**request)
    deadline = time.monotonic() + 30
    while bench.keys(f"{prefix}/out") != [f"{prefix}/out/a.out"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    bench.sagemaker.stop_transform_job(TransformJobName=name)
    while (job := bench.sagemaker.describe_transform_job(TransformJobName=name))["TransformJobStatus"] == "Stopping":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert job["TransformJobStatus"] == "Stopped"
    assert bench.keys(f"{prefix}/out") == [f"{prefix}/out/a.out"]
    code, message = refused(bench.sagemaker.stop_transform_job, TransformJobName=name)
    assert (code, "is in status Stopped" in message) == ("ValidationException", True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ModelName": "nothing"}, "Could not find model"),
        ({"MaxConcurrentTransforms": 20}, "must not exceed 100 MB"),
        ({"BatchStrategy": "MultiRecord"}, "needs a TransformInput.SplitType"),
        ({"DataProcessing": {"JoinSource": "Input"}}, "has no DataProcessing"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    bench: Workbench, model: str, changes: dict[str, Any], words: str
) -> None:
    request = transform_request(bench, model, "batch") | changes
    code, message = refused(bench.sagemaker.create_transform_job, **request)
    assert (code, words in message) == ("ValidationException", True), message


def test_names_are_taken_once_and_listed_newest_first(bench: Workbench, model: str) -> None:
    stem = unique("listed")
    jobs = []
    for number in range(3):
        request = transform_request(bench, model, "nothing", TransformJobName=f"{stem}-{number}")
        jobs.append(finished(bench, request))
    assert refused(bench.sagemaker.create_transform_job, **request)[0] == "ResourceInUse"
    assert refused(bench.sagemaker.describe_transform_job, TransformJobName="nobody")[0] == "ValidationException"

    def listed(**wanted: Any) -> list[str]:
        pages = bench.sagemaker.get_paginator("list_transform_jobs").paginate(NameContains=stem, **wanted)
        return [job["TransformJobName"][-1] for page in pages for job in page["TransformJobSummaries"]]

    assert listed(PaginationConfig={"PageSize": 2}) == ["2", "1", "0"]
    assert listed(StatusEquals="Failed", SortBy="Name", SortOrder="Ascending") == ["0", "1", "2"]
    assert listed(StatusEquals="Completed") == []
    middle = jobs[1]["CreationTime"]
    assert (listed(CreationTimeAfter=middle), listed(CreationTimeBefore=middle)) == (["2"], ["0"])
    assert listed(LastModifiedTimeAfter=jobs[2]["TransformEndTime"] + timedelta(seconds=1)) == []


def test_airflows_operator_runs_a_job(
    bench: Workbench, model: str, local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in local_aws.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws"}))
    prefix = unique("batch")
    bench.put(f"{prefix}/in/a", "one")
    request = transform_request(bench, model, prefix)
    operator = SageMakerTransformOperator(task_id="transform", config=request, check_interval=1)
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda **_: None)}
    result = operator.execute(context)
    assert result["Transform"]["TransformJobStatus"] == "Completed"
    assert bench.get(f"{prefix}/out/a.out") == b"1:ONE"
