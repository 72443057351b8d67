"""A job's data: S3 to its workspace and back, with the rights of its role."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

_THREADS = 8
_CHUNK_BYTES = 1 << 20
_MANY = 500  # objects, which take longer than another process takes to start
_MANIFEST_BYTES = 1 << 29  # five million photos; it is read as a whole

Check = Callable[[], None]


class TransferError(Exception):
    """Data that could not be brought in or out; the message names the S3 address and the reason."""


def split_uri(uri: str) -> tuple[str, str]:
    """`s3://bucket/key` as (bucket, key). TransferError for anything else."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise TransferError(f"{uri} is not an S3 address (s3://bucket/key)")
    return bucket, key


def objects(s3: Any, uri: str, kind: str) -> tuple[str, list[tuple[str, str]]]:
    """The bucket and the objects, (key, name), that an S3Uri of the S3DataType `kind` means.

    `S3Prefix`: the name is the rest of the key. A prefix that ends inside a name keeps that name: `s3://b/tr` brings
    `train/a` as `train/a`, as SageMaker does. `ManifestFile`, `[{"prefix": "s3://.."}, "a/b.jpg", ...]`: the name is
    what stands there. TransferError when there is nothing, or not the right to see it.
    """
    return _of_manifest(s3, uri) if kind == "ManifestFile" else _of_prefix(s3, uri)


def _of_prefix(s3: Any, uri: str) -> tuple[str, list[tuple[str, str]]]:
    bucket, prefix = split_uri(uri)
    keys = list(keys_of(s3, uri))
    if not keys:
        raise TransferError(f'No S3 objects found under S3 URL "{uri}". Please ensure that objects exist under it.')
    parent = prefix if prefix.endswith("/") or any(key.startswith(f"{prefix}/") for key in keys) else _parent(prefix)
    named = ((key, key.removeprefix(parent).lstrip("/")) for key in keys)
    return bucket, [(key, name) for key, name in named if name]


def _of_manifest(s3: Any, uri: str) -> tuple[str, list[tuple[str, str]]]:
    try:
        first, *names = json.loads(read(s3, uri))
        prefix: str = first["prefix"]
        if not all(isinstance(name, str) and name for name in (prefix, *names)):
            raise TypeError
    except (ValueError, TypeError, KeyError, RecursionError):
        raise TransferError(f'{uri} is not a manifest: [{{"prefix": "s3://..."}}, "key", ...]') from None
    bucket, start = split_uri(prefix)
    return bucket, [(start + name, name) for name in names]


def download_prefix(s3: Any, uri: str, target: Path) -> None:
    """Everything under an S3 prefix into a directory."""
    download_named(s3, *objects(s3, uri, "S3Prefix"), target, lambda: None)


def augmented_manifest(s3: Any, source: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines of an augmented manifest, JSON objects such as `{"source-ref": "s3://b/a/b.jpg", "class": 3}`.

    Each with the source's AttributeNames and in their order, or with all it has where the source gives none.
    """
    uri, names = source["S3Uri"], source.get("AttributeNames")
    try:
        lines = [json.loads(line) for line in read(s3, uri).splitlines() if line.strip()]
        kept = [{name: line[name] for name in names or line} for line in lines]
        for reference in _references(kept):
            split_uri(reference)
    except KeyError as error:
        raise TransferError(f"{uri}: a line has no attribute {error}") from None
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise TransferError(f'{uri} is not an augmented manifest: {{"source-ref": "s3://..", ..}} in a line') from None
    return kept


def _references(lines: Iterable[dict[str, Any]]) -> set[str]:
    return {value for line in lines for name, value in line.items() if name.endswith("-ref")}


def _download_augmented_manifest(
    s3: Any, source: Mapping[str, Any], target: Path, shard: tuple[int, int], check: Check
) -> None:
    """The manifest under its own name, and each object that it refers to under its key (`target`/a/b.jpg)."""
    index, count = shard
    lines = augmented_manifest(s3, source)[index::count]
    places = sorted(split_uri(reference) for reference in _references(lines))
    for bucket in {bucket for bucket, _ in places}:
        download_named(s3, bucket, ((key, key) for of, key in places if of == bucket), target, check)
    target.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (target / PurePosixPath(source["S3Uri"]).name).write_text(text)


def download(
    s3: Any,
    source: Mapping[str, Any],
    target: Path,
    shard: tuple[int, int],
    check: Check,
    environment: Mapping[str, str] | None = None,
) -> None:
    """What an S3DataSource names into a directory.

    Where it says ShardedByS3Key, `shard` (i, n) takes every n-th object from the i-th on. `check` comes before each.
    Many objects come by a process of their own where the environment is given by which that finds S3: this one, which
    serves them, would take turns with itself.
    """
    index, count = shard if source.get("S3DataDistributionType") == "ShardedByS3Key" else (0, 1)
    if source["S3DataType"] == "AugmentedManifestFile":
        _download_augmented_manifest(s3, source, target, (index, count), check)
    else:
        bucket, named = objects(s3, source["S3Uri"], source["S3DataType"])
        share = named[index::count]
        if environment and len(share) >= _MANY:
            _download_apart(environment, bucket, share, target, check)
        else:
            download_named(s3, bucket, share, target, check)


def read(s3: Any, uri: str) -> bytes:
    """A manifest's content."""
    bucket, key = split_uri(uri)
    try:
        found = s3.get_object(Bucket=bucket, Key=key)
        if found["ContentLength"] > _MANIFEST_BYTES:
            size = f"{found['ContentLength']:,} bytes"
            raise TransferError(f"{uri} has {size}; a manifest has {_MANIFEST_BYTES:,} at most")
        content: bytes = found["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise TransferError(f"{uri}: {error}") from error
    return content


def chunks(s3: Any, uri: str) -> Iterator[bytes]:
    """An object's content, bit by bit."""
    bucket, key = split_uri(uri)
    try:
        yield from s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(_CHUNK_BYTES)
    except (BotoCoreError, ClientError) as error:
        raise TransferError(f"{uri}: {error}") from error


def download_file(s3: Any, uri: str, target: Path) -> None:
    """One object to one file, streamed."""
    bucket, key = split_uri(uri)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(s3.get_object(Bucket=bucket, Key=key)["Body"], file, _CHUNK_BYTES)
    except (BotoCoreError, ClientError, OSError, ValueError) as error:  # the last for names that no file can have
        raise TransferError(f"{uri}: {error}") from error


def upload_file(s3: Any, source: Path, uri: str) -> None:
    """One file to one object."""
    bucket, key = split_uri(uri)
    try:
        s3.upload_file(str(source), bucket, key)
    except (Boto3Error, BotoCoreError, ClientError, OSError) as error:
        raise TransferError(f"{uri}: {error}") from error


def upload_directory(s3: Any, source: Path, uri: str) -> None:
    """Every file below a directory, under its own path, to an S3 prefix."""
    upload_files(s3, source, [path for path in sorted(source.rglob("*")) if path.is_file()], uri)


def upload_files(s3: Any, source: Path, files: Iterable[Path], uri: str) -> None:
    """Files below a directory, each under its own path, to an S3 prefix."""
    _in_parallel(lambda path: upload_file(s3, path, f"{uri.rstrip('/')}/{path.relative_to(source)}"), files)


def upload_tar(s3: Any, sources: Iterable[Path], uri: str) -> None:
    """The contents of directories, later ones over earlier ones, as one tar.gz."""
    with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
            for source in sources:
                for path in sorted(source.iterdir()):
                    tar.add(path, arcname=path.name)
        file.flush()
        upload_file(s3, Path(file.name), uri)


def unpack_tar(archive: Path, target: Path) -> None:
    """A tar or tar.gz into a directory, nothing outside it. TransferError when it is none, or tries to leave."""
    try:
        with tarfile.open(archive) as tar:
            # All before any: for a link that cannot be made, tarfile unpacks whichever member it names.
            members = [_staying(member) for member in tar]
            tar.extractall(target, members)  # noqa: S202 - tarfile's filter is newer than Python 3.11.2; _staying is stricter
    except (tarfile.TarError, zlib.error, OSError, EOFError, KeyError, ValueError, OverflowError) as error:
        raise TransferError(f"not a tar.gz archive that can be unpacked: {error}") from error


def _staying(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A file, a directory, or a link down from where it is, as this user's; TarError for anything else.

    Where no name and no link has a way up, none leads out, whatever is unpacked through which. (Python has a filter for
    this since 3.11.4, which links could lead out up to 3.11.12.)
    """
    member.name = member.name.lstrip("/")
    name, link = PurePosixPath(member.name), PurePosixPath(member.linkname)
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise tarfile.TarError(f"{name} is neither a file nor a directory nor a link")
    if link.is_absolute() or ".." in (*name.parts, *link.parts):
        raise tarfile.TarError(f"{name} leads up, perhaps out of its directory")
    member.mode = member.mode & 0o755 | (0o700 if member.isdir() else 0o600)
    member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
    return member


def keys_of(s3: Any, uri: str) -> Iterator[str]:
    """The keys under a prefix, in their order."""
    bucket, prefix = split_uri(uri)
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from (entry["Key"] for entry in page.get("Contents", ()))
    except (BotoCoreError, ClientError) as error:
        raise TransferError(f"{uri}: {error}") from error


def _parent(key: str) -> str:
    return key[: key.rfind("/") + 1]


def _download_apart(
    environment: Mapping[str, str], bucket: str, named: list[tuple[str, str]], target: Path, check: Check
) -> None:
    with tempfile.TemporaryFile("w+") as work, tempfile.TemporaryFile("w+") as said:
        json.dump({"bucket": bucket, "named": named, "target": str(target)}, work)
        work.seek(0)
        command = [sys.executable, "-m", "localaws.jobs.download"]
        with subprocess.Popen(command, env={**os.environ, **environment}, stdin=work, stderr=said) as process:
            try:
                while process.poll() is None:
                    check()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(0.1)
            finally:
                process.kill()
        if process.returncode:
            said.seek(0)
            raise TransferError(said.read().strip().rpartition("\n")[2] or f"exit code {process.returncode}")


def download_named(s3: Any, bucket: str, named: Iterable[tuple[str, str]], target: Path, check: Check) -> None:
    """Objects, (key, name), into a directory, each under its name."""
    target.mkdir(parents=True, exist_ok=True)

    def download(item: tuple[str, str]) -> None:
        check()
        key, name = item
        if PurePosixPath(name).is_absolute() or ".." in name.split("/"):
            raise TransferError(f"s3://{bucket}/{key}: its name leads out of the input directory")
        if name.endswith("/"):
            try:
                (target / name).mkdir(parents=True, exist_ok=True)
            except (OSError, ValueError) as error:
                raise TransferError(f"s3://{bucket}/{key}: no directory can have its name ({error})") from error
        else:
            download_file(s3, f"s3://{bucket}/{key}", target / name)

    _in_parallel(download, named)


def _in_parallel(work: Callable[[Any], None], items: Iterable[Any]) -> None:
    """Raise what the first failing item raised; the ones not begun by then are left."""
    with ThreadPoolExecutor(_THREADS) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
