"""Whatever unpacks an archive touches nothing outside its directory, and makes only files, folders and links within."""

import contextlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import evaluate
from job import JobError
from kennel.local import archives
from kennel.local.errors import KennelError
from localaws.jobs.s3 import TransferError, unpack_tar
from tests.conftest import LocalAws
from tests.localaws.hosting import unique
from tests.localaws.test_function import TRUST, invoke
from tests.security.archives import file, hardlink, symlink, tarred, tars, zipped, zips

Unpack = Callable[[Path, Path], None]
REFUSALS = (TransferError, JobError, KennelError)


def fetched(archive: Path, target: Path) -> None:
    """As `kennel data fetch` does, all entries wanted."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            names = file.namelist()
    else:
        with tarfile.open(archive) as tar:
            names = tar.getnames()
    archives.unpack(archive, {name: name for name in names}, target, lambda: None)


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Path]:
    """A directory to unpack in; afterwards all around it is as it was, and nothing in it leads out or is no file."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "secret").chmod(0o600)
    folder = tmp_path / "inside"
    folder.mkdir()
    yield folder
    around = sorted(path.name for path in tmp_path.iterdir())
    assert [name for name in around if not name.startswith("archive")] == ["inside", "secret"]
    assert (tmp_path / "secret").read_text() == "secret"
    found = (tmp_path / "secret").stat()
    assert (found.st_nlink, found.st_mode & 0o7777) == (1, 0o600)
    for path in folder.iterdir():
        assert path.resolve().is_relative_to(folder)
        assert path.is_file() or path.is_dir() or path.is_symlink()


UNPACKERS: dict[str, Unpack] = {
    "the local AWS": unpack_tar,
    "the evaluation job": evaluate.unpack,
    "kennel data fetch": fetched,
}
# Unpacked, and yet harmless: tarfile takes the first slash away; where links are passed over, none is written to.
HARMLESS = {("absolute", "the local AWS"), ("over a link", "kennel data fetch")}


@pytest.mark.parametrize("unpacker", UNPACKERS)
@pytest.mark.parametrize("name", tars(Path()))
def test_a_hostile_tar_is_refused(tmp_path: Path, inside: Path, unpacker: str, name: str) -> None:
    archive = tmp_path / "archive.tar.gz"
    archive.write_bytes(tars(tmp_path)[name])
    with contextlib.nullcontext() if (name, unpacker) in HARMLESS else pytest.raises(REFUSALS):
        UNPACKERS[unpacker](archive, inside)


def test_the_local_aws_unpacks_links_that_lead_down(tmp_path: Path, inside: Path) -> None:
    archive = tmp_path / "archive.tar.gz"
    link = symlink("latest", "code/train.py")
    archive.write_bytes(tarred([file("code/train.py"), link, hardlink("copy", "code/train.py"), link]))
    unpack_tar(archive, inside)
    assert (inside / "latest").read_text() == (inside / "copy").read_text() == "hostile"
    assert (inside / "latest").is_symlink()


@pytest.mark.parametrize("name", zips(Path()))
def test_a_hostile_zip_leads_nowhere(tmp_path: Path, inside: Path, name: str) -> None:
    archive = tmp_path / "archive.zip"
    archive.write_bytes(zips(tmp_path)[name])
    if name in {"parent", "parent of a folder", "absolute"}:
        with pytest.raises(KennelError, match="leads out of the directory"):
            fetched(archive, inside)
    else:
        fetched(archive, inside)
        assert all(path.is_file() and not path.is_symlink() for path in inside.iterdir())


# Says which of the names it finds in the directories above its own, and which of its files are links.
LOOKS_AROUND = b"""
import pathlib
here = pathlib.Path(__file__).parent
def handler(event, context):
    above = [str(folder / name) for folder in here.parents for name in event["names"] if (folder / name).exists()]
    return {"above": above, "links": [str(path) for path in here.rglob("*") if path.is_symlink()]}
"""


def test_the_zip_of_a_function_is_unpacked_inside_of_its_directory(local_aws: LocalAws, tmp_path: Path) -> None:
    escaped, role, name = unique("escaped"), unique("role"), unique("hostile")
    client, iam = local_aws.client("lambda"), local_aws.client("iam")
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    entries: list[tuple[str | zipfile.ZipInfo, bytes]] = [("index.py", LOOKS_AROUND)]
    for hostile in zips(tmp_path).values():
        with zipfile.ZipFile(io.BytesIO(hostile)) as archive:
            for info in archive.infolist():
                content = archive.read(info)
                info.filename = info.filename.replace("escaped", escaped).replace("link", f"link-{len(entries)}")
                entries.append((info, content))
    client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="index.handler",
        Role=arn,
        Code={"ZipFile": zipped(entries)},
    )
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    answer, log = invoke(local_aws, name, {"names": [escaped]})
    client.delete_function(FunctionName=name)
    assert answer == {"above": [], "links": []}, log
    assert list(tmp_path.iterdir()) == []
