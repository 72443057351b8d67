"""A directory of a running container, kept the same under an S3 prefix: checkpoints, and outputs sent continuously."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from localaws.jobs import s3

_State = tuple[int, int]  # of a file: the time of its last change and its size

SECONDS = 2.0  # between two looks at the directory

log = logging.getLogger(__name__)


class Mirror:
    """`directory` and the prefix `uri`. What is deleted in the directory stays under the prefix, as on SageMaker."""

    def __init__(self, bucket: Any, directory: Path, uri: str) -> None:
        self._bucket = bucket
        self._directory = directory
        self._prefix = f"{uri.rstrip('/')}/"
        self._sent: dict[Path, _State] = {}
        self._looked: dict[Path, _State] = {}

    def restore(self) -> None:
        """Bring what is under the prefix, if anything, into the directory. TransferError when it cannot be read."""
        self._directory.mkdir(parents=True, exist_ok=True)
        if next(s3.keys_of(self._bucket, self._prefix), None) is not None:
            s3.download_prefix(self._bucket, self._prefix, self._directory)
        self._sent = self._seen()

    def send(self) -> None:
        """Store what is new or changed in the directory. TransferError when it cannot be."""
        self._send(self._seen())

    def send_settled(self) -> None:
        """`send` only what stayed the same since the last time: the others may still be written to."""
        looked, self._looked = self._looked, self._seen()
        self._send({path: state for path, state in self._looked.items() if looked.get(path) == state})

    def _send(self, files: dict[Path, _State]) -> None:
        changed = {path: state for path, state in sorted(files.items()) if self._sent.get(path) != state}
        s3.upload_files(self._bucket, self._directory, changed, self._prefix)
        self._sent |= changed

    def _seen(self) -> dict[Path, _State]:
        """Its files; one that goes away meanwhile is left out."""
        seen = {}
        for path in self._directory.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    state = path.stat()
                    seen[path] = (state.st_mtime_ns, state.st_size)
        return seen


def send_all(mirrors: Iterable[Mirror]) -> None:
    """Store what is new or changed in each. TransferError when it cannot be."""
    for mirror in mirrors:
        mirror.send()


def send_settled(mirrors: Iterable[Mirror]) -> None:
    """Store what has come to rest in each. TransferError when it cannot be."""
    for mirror in mirrors:
        mirror.send_settled()


@contextlib.contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Do `work` every few seconds, in a thread, while the block runs. What it cannot transfer it tries again."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(SECONDS):
            try:
                work()
            except s3.TransferError as error:
                log.info("not sent yet: %s", error)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
