"""Publishing `ml/` and the backbone's weights to the bucket, once per content."""

import gzip
import hashlib
import importlib.util
import io
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import ClientError

from kennel import names
from kennel.config import Backbone

PACKAGE = "package:"


class WeightsError(ValueError):
    """The weights are not where the classifier's TOML says, or are not those it names."""


def publish_code(client: Any, bucket: str, directory: Path) -> str:
    """Upload the scripts loose (for processing) and as a tar (for script mode). Returns the digest in their keys."""
    files, found = _files(directory), digest(directory)
    prefix = names.code(found)
    # The tar goes last: where it is, the rest is too.
    if not _exists(client, bucket, f"{prefix}sourcedir.tar.gz"):
        for name, body in files.items():
            client.put_object(Bucket=bucket, Key=f"{prefix}src/{name}", Body=body)
        client.put_object(Bucket=bucket, Key=f"{prefix}sourcedir.tar.gz", Body=archive(files))
    return found


def digest(directory: Path) -> str:
    """SHA-256 over the scripts' names and contents."""
    listing = "\n".join(f"{hashlib.sha256(body).hexdigest()} {name}" for name, body in _files(directory).items())
    return hashlib.sha256(listing.encode()).hexdigest()


def _files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.suffix in (".py", ".txt")}


def archive(files: dict[str, bytes]) -> bytes:
    """A gzipped tar of the files, the same bytes for the same content."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def publish_weights(client: Any, bucket: str, name: str, backbone: Backbone) -> None:
    """Upload a backbone's weights unless they are there.

    Raises WeightsError with what to change in the TOML, and ConnectionError for what may pass by itself.
    """
    key = names.weights(name)
    if _exists(client, bucket, key):
        return
    with tempfile.TemporaryFile() as file:
        found = _fetch(backbone.weights, file)
        if not found.startswith(backbone.sha256):
            raise WeightsError(
                f"{backbone.weights} has SHA-256 {found}, not backbones.{name}.sha256 = {backbone.sha256}"
            )
        file.seek(0)
        client.upload_fileobj(file, bucket, key)


def _fetch(source: str, target: IO[bytes]) -> str:
    """Copy the weights into a file; returns their SHA-256."""
    found = hashlib.sha256()
    with _open(source) as stream:
        while block := stream.read(1 << 20):
            found.update(block)
            target.write(block)
    return found.hexdigest()


def _open(source: str) -> IO[bytes]:
    if source.startswith(PACKAGE):
        return _weights_of_package(source.removeprefix(PACKAGE)).open("rb")
    if not source.startswith("https://"):
        raise WeightsError(f"weights {source!r} are neither https://... nor {PACKAGE}<python package>")
    try:
        return urllib.request.urlopen(source, timeout=60)  # type: ignore[no-any-return]  # noqa: S310 (https, checked above)
    except OSError as error:
        refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
        raise (WeightsError if refused else ConnectionError)(
            f"{source} cannot be fetched ({error}): put the file into the bucket as weights/<backbone>.pth by hand"
        ) from error


def _weights_of_package(package: str) -> Path:
    """The one .pth file that a Python package carries, found without importing the package."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    files = [file for folder in folders or [] for file in Path(folder).rglob("*.pth")]
    if len(files) != 1:
        raise WeightsError(
            f"the Python package {package} has {len(files)} .pth files, not one: install it, or name another source"
        )
    return files[0]


def _exists(client: Any, bucket: str, key: str) -> bool:
    try:
        client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise
        return False
    return True
