"""`kennel data push`, `list` and `describe` in an account that the environment names, as on AWS."""

import datetime
import io
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kennel import cli
from tests.conftest import LocalAws, running_local_aws

BREEDS = ("001.Pug", "002.Basset_hound")
Kennel = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """One whose registry has no other `dogs`."""
    with running_local_aws(tmp_path_factory.mktemp("data") / "home") as local:
        yield local


@pytest.fixture
def kennel(
    local_aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Kennel:
    """Run a command; gives its exit code, what it printed and what it complained of."""
    for name, value in {**local_aws.env, "KENNEL_HOME": str(tmp_path / "kennel"), "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["kennel", "data", *arguments])
        with pytest.raises(SystemExit) as done:
            cli.main()
        return int(done.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def account(local_aws: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The id of an account of this test's own; its bucket is there."""
    account_id = f"{zlib.crc32(request.node.nodeid.encode()):012}"
    monkeypatch.setenv("KENNEL_ACCOUNT_ID", account_id)
    local_aws.client("s3").create_bucket(Bucket=bucket(account_id))
    return account_id


def bucket(account: str) -> str:
    return f"kennel-dogs-{account}-us-east-1"


def photo(shade: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (32, 32), (20 * shade, 90, 90)).save(content, "JPEG")
    return content.getvalue()


def draw(root: Path, first_shade: int) -> Path:
    """One photo of each breed in each split."""
    places = [root / split / breed for split in ("train", "valid", "test") for breed in BREEDS]
    for shade, place in enumerate(places, first_shade):
        place.mkdir(parents=True)
        (place / "a.jpg").write_bytes(photo(shade))
    return root


def rows(shown: str) -> list[list[str]]:
    """A table's cells."""
    return [
        re.findall(r"[^\s│┃][^│┃]*[^\s│┃]|[^\s│┃─━]", line) for line in shown.splitlines() if re.search("[│┃]", line)
    ]


def test_there_are_none_at_first(kennel: Kennel, account: str) -> None:
    code, shown, _ = kennel("list")
    assert code == 0
    assert (
        shown
        == f'There are no photos in s3://{bucket(account)}/datasets/dogs/ yet: "kennel data push" puts some there.\n'
    )
    code, _, complaint = kennel("describe")
    assert code == 2
    assert complaint.startswith("kennel: no photos up to ")
    assert "by `kennel data push`" in complaint


def test_what_was_pushed_is_listed_by_date_and_described_by_cutoff(
    kennel: Kennel, account: str, local_aws: Any, tmp_path: Path
) -> None:
    first, second = draw(tmp_path / "first", 0), draw(tmp_path / "second", 6)
    (second / "train/001.Pug/again.jpg").write_bytes((first / "test/001.Pug/a.jpg").read_bytes())
    target = f"s3://{bucket(account)}/datasets/dogs/dt=2026-11-01/"
    assert kennel("push", str(first), "--date", "2026-11-01")[1] == (
        f"{first}, 2 classes, to {target}: 6 uploaded, 0 already there.\n"
    )
    assert ": 0 uploaded, 6 already there." in kennel("push", str(first), "--date", "2026-11-01")[1]
    kennel("push", str(second), "--date", "2026-11-08")

    head, *dates, total = rows(kennel("list")[1])
    assert head == ["date", "train", "valid", "test", "classes", "size"]
    assert [row[:5] for row in dates] == [["2026-11-01", "2", "2", "2", "2"], ["2026-11-08", "3", "2", "2", "2"]]
    assert total[:5] == ["2 in all", "5", "4", "4", "2"]

    early = described(kennel("describe", "--cutoff", "2026-11-07")[1])
    assert early["photos"] == "train 2, valid 2, test 2"
    assert early["known"] == "2026-11-01 to 2026-11-01, dates: 1"
    now = described(kennel("describe")[1])
    assert now["cutoff"] == f"{datetime.datetime.now(datetime.UTC).date()} (UTC)"
    assert now["photos"] == "train 4, valid 4, test 4"
    assert now["duplicates"] == "1 left out"
    assert now["model"] == "none of just these photos yet"

    sagemaker = local_aws.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName="kennel-dogs")
    registered = sagemaker.create_model_package(
        ModelPackageGroupName="kennel-dogs",
        ModelApprovalStatus="Approved",
        CustomerMetadataProperties={"run": "dogs-20261108t030000-3fa9c1", "snapshot": now["snapshot"]},
        InferenceSpecification={
            "Containers": [{"Image": "image:1", "ModelDataUrl": "s3://bucket/model.tar.gz"}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]
    made = described(kennel("describe")[1])
    assert made["model"] == f"dogs-20261108t030000-3fa9c1, Approved ({registered})"
    assert described(kennel("describe", "--cutoff", "2026-11-07")[1])["model"].startswith("none")


def described(shown: str) -> dict[str, str]:
    """The facts of a description by name; a value that was folded is put together again."""
    facts: dict[str, str] = {}
    last = ""
    for line in shown.splitlines():
        name, value = line[:12].strip(), line[12:].strip()
        last = name or last
        facts[last] = " ".join(filter(None, [facts.get(last, ""), value]))
    return facts


def test_a_label_that_is_there_under_another_number_is_refused(kennel: Kennel, account: str, tmp_path: Path) -> None:
    first, second = draw(tmp_path / "first", 0), draw(tmp_path / "second", 6)
    kennel("push", str(first), "--date", "2026-11-01")
    for split in ("train", "valid", "test"):
        (second / split / "001.Pug").rename(second / split / "003.Pug")
    code, _, complaint = kennel("push", str(second), "--date", "2026-11-08")
    assert code == 2
    assert complaint.endswith(
        "kennel: Pug is 001.Pug and 003.Pug: put all of its photos under one number. Nothing was pushed.\n"
    )
    assert [row[0] for row in rows(kennel("list")[1])[1:-1]] == ["2026-11-01"]


def test_a_key_that_no_run_could_use_is_named(kennel: Kennel, account: str, local_aws: Any) -> None:
    key = "datasets/dogs/dt=2026-11-01/train/001.Pug/a\tb.jpg"
    local_aws.client("s3").put_object(Bucket=bucket(account), Key=key, Body=b"")
    for command in ("list", "describe"):
        code, _, complaint = kennel(command)
        assert code == 2
        assert complaint == (
            r"kennel: 'dt=2026-11-01/train/001.Pug/a\tb.jpg' is not a safe key: "
            "delete the object, and push the photo under another name.\n"
        )


def no_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KENNEL_ACCOUNT_ID", "210987654321")


def wrong_account_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KENNEL_ACCOUNT_ID", "21-09")


def wrong_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KENNEL_ACCOUNT_ID", "210987654321")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")


def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KENNEL_ACCOUNT_ID", "210987654321")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


def the_local_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KENNEL_ACCOUNT_ID", "000000000000")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_bucket, "There is no bucket kennel-dogs-210987654321-us-east-1: deploy infra/foundation.yaml"),
        (wrong_account_id, "dogs.toml: environment.account_id: String should match pattern"),
        (
            wrong_keys,
            "AWS refused ListObjectsV2 (SignatureDoesNotMatch): use credentials of 210987654321 that may do it",
        ),
        (
            no_keys,
            "Unable to locate credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in",
        ),
        (the_local_account, 'The local AWS is not running: start it with "kennel up", or set KENNEL_ACCOUNT_ID'),
    ],
)
def test_an_account_that_cannot_be_worked_in_is_one_line(
    kennel: Kennel, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[pytest.MonkeyPatch], None], message: str
) -> None:
    spoil(monkeypatch)
    code, shown, complaint = kennel("list")
    assert (code, shown) == (2, "")
    assert complaint.startswith(f"kennel: {message}")
    assert complaint.count("\n") == 1
