"""One file over HTTP: broken off, it goes on where it was; at its end it is what its publisher names, or nothing."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import httpx

from kennel.local.errors import KennelError

AGAIN = "run the same command again, it goes on where this one was"
SECONDS_WITHOUT_A_BYTE = 30
Tell = Callable[[int], None]  # is given the bytes that are there


@dataclass(frozen=True)
class File:
    """A published file: its size in bytes and, where somebody publishes one, its SHA-256."""

    url: str
    size: int
    sha256: str = ""

    @property
    def name(self) -> str:
        """What it is called on disk."""
        return PurePosixPath(urlsplit(self.url).path).name


def download(file: File, directory: Path, tell: Tell) -> Path:
    """The file in a directory, whole and checked; one that somebody has put there is only checked.

    Raises KennelError, and OSError when the directory cannot be written to. What has come by then is kept.
    """
    path = directory / file.name
    if path.exists():
        _check(file, path)
        return path
    download = Download(file, directory, tell)
    download.run()
    _check(file, download.part)
    download.validator.unlink(missing_ok=True)
    return download.part.rename(path)


class Download:
    """A download going on: `part` is what has come, `validator` what the server called the version it is of."""

    def __init__(self, file: File, directory: Path, tell: Tell) -> None:
        self.file = file
        self.part = directory / f"{file.name}.part"
        self.validator = directory / f"{file.name}.etag"
        self._tell = tell

    def run(self) -> None:
        """Fetch what is missing. A broken connection is taken up again as long as each one gets further."""
        if self._size() == self.file.size:
            return
        headers = {"Accept-Encoding": "identity"}
        with httpx.Client(follow_redirects=True, timeout=SECONDS_WITHOUT_A_BYTE, headers=headers) as client:
            while True:
                before = self._size()
                try:
                    with client.stream("GET", self.file.url, headers=self._where_to_go_on()) as response:
                        self._receive(response)
                    break
                except httpx.HTTPError as error:
                    if self._size() <= before:
                        reason = str(error) or type(error).__name__
                        raise KennelError(f"{self.file.url} cannot be read ({reason}): {AGAIN}.") from error

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _where_to_go_on(self) -> dict[str, str]:
        """If-Range makes the server send all of the file when it is not that version any more."""
        size = self._size()
        version = self.validator.read_text() if 0 < size < self.file.size and self.validator.exists() else ""
        return {"Range": f"bytes={size}-", "If-Range": version} if version else {}

    def _receive(self, response: httpx.Response) -> None:
        start = self._start(response)
        if not start:
            self.part.write_bytes(b"")
            self.validator.write_text(_version(response))
        with self.part.open("ab") as part:
            for block in response.iter_raw():
                part.write(block)
                self._tell(part.tell())

    def _start(self, response: httpx.Response) -> int:
        """Which byte of the file the answer starts with. Raises KennelError for one that is of no use."""
        url = self.file.url
        if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            answer = f"{response.status_code} {response.reason_phrase}"
            raise KennelError(
                f"{url} answered {answer}: run the same command again later, or get {self.file.name} elsewhere and put "
                f"it into {self.part.parent} first."
            )
        start, total = 0, response.headers.get("Content-Length", str(self.file.size))
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            start = self._size()
            expected, _, total = response.headers.get("Content-Range", "").partition("/")
            if expected.partition("-")[0] != f"bytes {start}":
                raise KennelError(f"{url} sent another part than was asked for: delete {self.part} and run this again.")
        if total != str(self.file.size):
            raise KennelError(f"{url} has {total} bytes, not {self.file.size}: {_changed(self.file)}.")
        return start


def _version(response: httpx.Response) -> str:
    """A name for the version that If-Range takes; empty where the server gives none."""
    etag: str = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return str(response.headers.get("Last-Modified", ""))


def _check(file: File, path: Path) -> None:
    """Raises KennelError for a file that is not the published one, which is then removed."""
    size = path.stat().st_size
    with path.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest() if file.sha256 else ""
    if (size, sha256) == (file.size, file.sha256):
        return
    path.unlink()
    found = f"has {size} bytes, not {file.size}" if size != file.size else f"has SHA-256 {sha256}, not {file.sha256}"
    raise KennelError(f"{file.name} {found}, and was removed: run the same command again; or else {_changed(file)}.")


def _changed(file: File) -> str:
    return f"it was changed at {file.url}: unpack it yourself and give the directory to `kennel data push`"
