"""Training jobs that read their channels from pipes."""

import gzip
import json

import pytest

from tests.conftest import LocalAws
from tests.localaws.jobs import Workbench, unique

GROUP = "/aws/sagemaker/TrainingJobs"
# Takes MXNet's RecordIO apart: magic, length, content, filled up to four bytes.
READ_RECORDS = """
import struct
with open("/opt/ml/input/data/train_0", "rb") as pipe:
    while head := pipe.read(8):
        magic, length = struct.unpack("<II", head)
        assert magic == 0xced7230a
        print(pipe.read(length).decode())
        pipe.read(-length % 4)
"""


@pytest.fixture(scope="module")
def bench(local_aws: LocalAws) -> Workbench:
    return Workbench(local_aws)


def test_each_epoch_has_a_pipe_with_all_objects(bench: Workbench) -> None:
    prefix = unique("pipe")
    bench.put(f"{prefix}/a.csv", "1,2\n")
    bench.put(f"{prefix}/b.csv", "3,4\n" * 500_000)
    script = """
import json
assert json.load(open("/opt/ml/input/config/inputdataconfig.json"))["train"]["TrainingInputMode"] == "Pipe"
for epoch in range(2):
    lines = open(f"/opt/ml/input/data/train_{epoch}").readlines()
    print(epoch, len(lines), lines[0].strip(), lines[-1].strip())
with open("/opt/ml/input/data/train_2") as pipe:
    print("only", pipe.readline().strip())
"""
    channel = {**bench.channel("train", bench.uri(f"{prefix}/")), "InputMode": "Pipe"}
    job = bench.train(script, InputDataConfig=[channel])
    assert job["TrainingJobStatus"] == "Completed", job
    assert bench.lines(GROUP, job["TrainingJobName"]) == ["0 500001 1,2 3,4", "1 500001 1,2 3,4", "only 1,2"]


def test_augmented_manifest_is_a_stream_of_records_one_for_each_attribute(bench: Workbench) -> None:
    prefix = unique("pipe")
    lines = [
        {"class": number, "source-ref": bench.put(f"{prefix}/{name}.txt", f"photo {name}"), "note": "not asked for"}
        for number, name in enumerate("ab")
    ]
    manifest = bench.put(f"{prefix}.manifest", "\n".join(map(json.dumps, lines)))
    channel = bench.channel("train", manifest, "AugmentedManifestFile")
    channel["DataSource"]["S3DataSource"]["AttributeNames"] = ["source-ref", "class"]
    job = bench.train(READ_RECORDS, InputDataConfig=[channel | {"InputMode": "Pipe", "RecordWrapperType": "RecordIO"}])
    assert bench.lines(GROUP, job["TrainingJobName"]) == ["photo a", "0", "photo b", "1"]


@pytest.mark.parametrize("wrapper", ["None", "RecordIO"])
def test_compressed_objects_are_unpacked(bench: Workbench, wrapper: str) -> None:
    prefix = unique("pipe")
    bench.put(f"{prefix}/a.gz", gzip.compress(b"unpacked"))
    script = READ_RECORDS if wrapper == "RecordIO" else "print(open('/opt/ml/input/data/train_0').read())"
    channel = bench.channel("train", bench.uri(f"{prefix}/"))
    channel |= {"InputMode": "Pipe", "CompressionType": "Gzip", "RecordWrapperType": wrapper}
    job = bench.train(script, InputDataConfig=[channel])
    assert bench.lines(GROUP, job["TrainingJobName"]) == ["unpacked"]


def test_pipe_that_nobody_reads_does_not_keep_the_job(bench: Workbench) -> None:
    prefix = unique("pipe")
    bench.put(f"{prefix}/a", "a")
    channel = bench.channel("train", bench.uri(f"{prefix}/"))
    request = bench.training_request(bench.source("print('I look away')"), InputDataConfig=[channel])
    request["AlgorithmSpecification"]["TrainingInputMode"] = "Pipe"
    bench.sagemaker.create_training_job(**request)
    assert bench.finished("TrainingJob", request["TrainingJobName"])["TrainingJobStatus"] == "Completed"


def test_object_that_cannot_be_read_fails_the_job(bench: Workbench) -> None:
    listed = [{"prefix": bench.uri(unique("pipe"))}, "/not-there"]
    channel = bench.channel("train", bench.put("absent.manifest", json.dumps(listed)), "ManifestFile")
    script = "print(len(open('/opt/ml/input/data/train_0').read()))"
    job = bench.train(script, InputDataConfig=[channel | {"InputMode": "Pipe"}])
    assert job["TrainingJobStatus"] == "Failed"
    assert "NoSuchKey" in job["FailureReason"]
