"""What jobs do with data that somebody has poisoned: they end with one line that says so, and touch nothing else."""

import json
from pathlib import Path

import pytest

import instance
from localaws.jobs import s3
from tests.conftest import LocalAws
from tests.localaws.jobs import Workbench, unique

# Manifests of SageMaker's ManifestFile kind, `{prefix}` being where the photos are, with what the job says of each.
MANIFESTS: dict[str, tuple[str, str]] = {
    "another bucket": ('[{{"prefix": "s3://{other}/"}}, "a.jpg"]', "AccessDenied"),
    "no such bucket": ('[{{"prefix": "s3://nobody-has-this-bucket/"}}, "a.jpg"]', "s3://nobody-has-this-bucket/a.jpg"),
    "nothing": ("", "is not a manifest"),
    "no JSON": ("photos/a.jpg", "is not a manifest"),
    "cut short": ('[{{"prefix": "{prefix}"}}, "a.j', "is not a manifest"),
    "an object": ('{{"prefix": "{prefix}"}}', "is not a manifest"),
    "an empty list": ("[]", "is not a manifest"),
    "nested without end": ("[" * 200_000, "is not a manifest"),
    "bytes": ("\udcff\udcfe", "is not a manifest"),
    "no prefix": ('["a.jpg"]', "is not a manifest"),
    "a number as prefix": ('[{{"prefix": 5}}, "a.jpg"]', "is not a manifest"),
    "an address of the web": ('[{{"prefix": "https://169.254.169.254/"}}, "a.jpg"]', "is not an S3 address"),
    "a file": ('[{{"prefix": "file:///etc/"}}, "passwd"]', "is not an S3 address"),
    "numbers as keys": ('[{{"prefix": "{prefix}"}}, 1, 2]', "is not a manifest"),
    "an empty key": ('[{{"prefix": "{prefix}"}}, ""]', "is not a manifest"),
    "up": ('[{{"prefix": "{prefix}"}}, "../../../escaped"]', "leads out of the input directory"),
    "up in the middle": ('[{{"prefix": "{prefix}"}}, "a/../../escaped"]', "leads out of the input directory"),
    "absolute": ('[{{"prefix": "{prefix}"}}, "/etc/escaped"]', "leads out of the input directory"),
    "null": ('[{{"prefix": "{prefix}"}}, "a\\u0000.jpg"]', "a\0.jpg"),
    "half a character": ('[{{"prefix": "{prefix}"}}, "\\ud800.jpg"]', "surrogates not allowed"),
    "a key of 300 letters": ('[{{"prefix": "{prefix}"}}, "' + "a" * 300 + '"]', "a" * 300),
    "null in a folder": ('[{{"prefix": "{prefix}"}}, "a\\u0000/"]', "no directory can have its name"),
    "a folder of 300 letters": ('[{{"prefix": "{prefix}"}}, "' + "a" * 300 + '/"]', "no directory can have its name"),
    "a photo and a folder": ('[{{"prefix": "{prefix}"}}, "a.jpg", "a.jpg/"]', "photos/a.jpg"),
    "a key nobody has": ('[{{"prefix": "{prefix}"}}, "; rm -rf"]', "NoSuchKey"),
}


@pytest.fixture(scope="module")
def bench(local_aws: LocalAws) -> Workbench:
    return Workbench(local_aws)


@pytest.fixture(scope="module")
def other(bench: Workbench) -> str:
    """A bucket that the job's role has no right to."""
    bucket = unique("others")
    bench.s3.create_bucket(Bucket=bucket)
    bench.s3.put_object(Bucket=bucket, Key="a.jpg", Body=b"another's")
    return bucket


def poisoned(bench: Workbench, content: str, other: str) -> bytes:
    return content.format(prefix=bench.uri("photos/"), other=other).encode(errors="surrogateescape")


@pytest.mark.parametrize(("content", "reason"), MANIFESTS.values(), ids=MANIFESTS.keys())
def test_a_poisoned_manifest_fails_the_job_with_a_reason(
    bench: Workbench, other: str, content: str, reason: str
) -> None:
    bench.put("photos/a.jpg", "a")
    uri = bench.put(f"{unique('snapshot')}/train.manifest", poisoned(bench, content, other))
    job = bench.train("", InputDataConfig=[bench.channel("train", uri, "ManifestFile")])
    assert job["TrainingJobStatus"] == "Failed"
    assert reason in job["FailureReason"]
    assert "InternalServerError" not in job["FailureReason"]


@pytest.mark.parametrize("name", ["another bucket", "no JSON", "up"])
def test_a_processing_job_reads_a_poisoned_manifest_no_better(bench: Workbench, other: str, name: str) -> None:
    """As the photos come to embed.py."""
    content, reason = MANIFESTS[name]
    uri = bench.put(f"{unique('snapshot')}/train.manifest", poisoned(bench, content, other))
    photos = {"S3Uri": uri, "LocalPath": "/opt/ml/processing/input/train", "S3DataType": "ManifestFile"}
    request = bench.processing_request("")
    request["ProcessingInputs"].append({"InputName": "train", "S3Input": photos})
    bench.sagemaker.create_processing_job(**request)
    job = bench.finished("ProcessingJob", request["ProcessingJobName"])
    assert job["ProcessingJobStatus"] == "Failed"
    assert reason in job["FailureReason"]


def test_a_manifest_larger_than_any_is_not_read(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_MANIFEST_BYTES", 1000)
    listed = json.dumps([{"prefix": bench.uri("photos/")}, *["a.jpg"] * 1000])
    uri = bench.put("large.manifest", listed)
    with pytest.raises(s3.TransferError, match=f"^{uri} has {len(listed):,} bytes; a manifest has 1,000 at most$"):
        s3.objects(bench.s3, uri, "ManifestFile")


# These are for S3 and the disk to refuse.
OTHERS_REFUSE = ("a key", "a folder", "a photo")
ON_EC2 = {name: content for name, (content, _) in MANIFESTS.items() if not name.startswith(OTHERS_REFUSE)}


@pytest.mark.parametrize("content", ON_EC2.values(), ids=ON_EC2.keys())
def test_a_poisoned_manifest_ends_training_on_ec2_with_a_reason(
    bench: Workbench, other: str, tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.put("poisoned.manifest", poisoned(bench, content, other))
    with pytest.raises(SystemExit) as ended:
        instance.fetch_listed(bench.s3, bench.bucket, "poisoned.manifest", tmp_path / "input" / "data" / "train")
    assert ended.value.code == instance.AT_FAULT
    [reason] = capsys.readouterr().err.splitlines()
    assert "is not a manifest of photos in" in reason or "is not a safe key" in reason
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_leads_out_of_its_channel_ends_training_on_ec2(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(instance, "BASE", tmp_path / "opt" / "ml")
    bench.put("vectors/../../../../../escaped", "x")
    work = instance.Work(bench.bucket, {"embeddings": "vectors/"}, {}, "model.tar.gz", {})
    with pytest.raises(SystemExit) as ended:
        instance.fetch(bench.s3, work)
    assert ended.value.code == instance.AT_FAULT
    assert capsys.readouterr().err.startswith("'../../../../../escaped' is not a safe key")
    assert not list(tmp_path.rglob("escaped"))
