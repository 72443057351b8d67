"""The access log: whom IAM let do what, and whom not."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws.access_log import writer
from tests.conftest import LocalAws, running_local_aws
from tests.rights import entries

MODEL = "arn:aws:sagemaker:us-east-1:000000000000:model/"
BUCKET = "access-log"
READS = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
DESCRIBES = {"Effect": "Allow", "Action": "sagemaker:DescribeModel", "Resource": f"{MODEL}mine"}


def of(aws: LocalAws, keys: dict[str, str]) -> list[tuple[str, str, str]]:
    """What the log says of a role's session."""
    mine = aws.client("sts", **keys).get_caller_identity()["Arn"]
    decided = (entry for entry in entries(aws.home) if entry["principal"] == mine)
    told = [(entry["action"], entry["resource"], entry["decision"]) for entry in decided]
    return [entry for entry in told if entry[0] != "sts:GetCallerIdentity"]


@pytest.fixture(scope="module", autouse=True)
def bucket(local_aws: LocalAws) -> None:
    local_aws.client("s3").create_bucket(Bucket=BUCKET)


def attempt(call: Any, **request: Any) -> None:
    with pytest.raises(ClientError):
        call(**request)


def test_has_each_decision_about_ministacks_services_and_ours(local_aws: LocalAws) -> None:
    keys = local_aws.role(READS, DESCRIBES)
    s3, sagemaker = local_aws.client("s3", **keys), local_aws.client("sagemaker", **keys)
    attempt(s3.get_object, Bucket=BUCKET, Key="a/b.jpg")
    attempt(s3.delete_object, Bucket=BUCKET, Key="a/b.jpg")
    attempt(sagemaker.describe_model, ModelName="mine")
    attempt(sagemaker.describe_model, ModelName="yours")
    decisions = [entry for entry in of(local_aws, keys) if entry[0] != "s3:ListBucket"]
    assert decisions == [
        ("s3:GetObject", f"arn:aws:s3:::{BUCKET}/a/b.jpg", "allowed"),
        ("s3:DeleteObject", f"arn:aws:s3:::{BUCKET}/a/b.jpg", "denied"),
        ("sagemaker:DescribeModel", f"{MODEL}mine", "allowed"),
        ("sagemaker:DescribeModel", f"{MODEL}yours", "denied"),
    ]


def test_holds_no_key(local_aws: LocalAws) -> None:
    keys = local_aws.role(READS)
    attempt(local_aws.client("s3", **keys).get_object, Bucket=BUCKET, Key="a")
    text = (local_aws.home / "access.log").read_text()
    assert f"arn:aws:s3:::{BUCKET}/a" in text
    for secret in (*keys.values(), local_aws.env["AWS_SECRET_ACCESS_KEY"], local_aws.env["AWS_ACCESS_KEY_ID"]):
        assert secret not in text


def test_is_its_owners_only_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        with running_local_aws(tmp_path) as aws:
            aws.client("s3").list_buckets()
    assert (tmp_path / "access.log").stat().st_mode & 0o077 == 0
    assert [entry["action"] for entry in entries(tmp_path)].count("s3:ListAllMyBuckets") == 2


def test_never_holds_more_than_two_files(tmp_path: Path) -> None:
    write = writer(tmp_path, largest=1000)
    for number in range(100):
        write({"resource": f"arn:aws:s3:::bucket/{number}\n"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["access.log", "access.log.1"]
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 1000
    assert [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()][-1] == {
        "resource": "arn:aws:s3:::bucket/99\n"
    }
