"""Channels of the input mode Pipe: objects streamed into a FIFO an epoch, /opt/ml/input/data/<channel>_<epoch>."""

import contextlib
import errno
import itertools
import json
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from localaws.jobs import s3

_LOOK_SECONDS = 0.05  # between two looks whether somebody reads
_MAGIC = 0xCED7230A  # of MXNet's RecordIO, the one that SageMaker wraps records in

log = logging.getLogger(__name__)


class Pipe:
    """A channel's FIFOs in one container. TransferError when the channel has no objects, or they cannot be listed.

    `base` is the FIFO's path on this machine without the epoch; `shard` (i, n) is one instance's part of the objects.
    """

    def __init__(self, bucket: Any, channel: Mapping[str, Any], base: Path, shard: tuple[int, int]) -> None:
        self._bucket = bucket
        self._base = base
        self._wrapped = channel.get("RecordWrapperType") == "RecordIO"
        self._zipped = channel.get("CompressionType") == "Gzip"
        self._records = list(_records(bucket, channel["DataSource"]["S3DataSource"], shard))
        self.error: s3.TransferError | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)

    def start(self) -> None:
        """Make the first FIFO and feed whoever opens it."""
        os.mkfifo(self._fifo(0))
        self._thread.start()

    def stop(self) -> None:
        """Call it when the container has ended: no more FIFOs."""
        self._over.set()
        self._thread.join()

    def _fifo(self, epoch: int) -> Path:
        return self._base.with_name(f"{self._base.name}_{epoch}")

    def _feed(self) -> None:
        for epoch in itertools.count():
            descriptor = self._opened(self._fifo(epoch))
            if descriptor is None:
                return
            with os.fdopen(descriptor, "wb", buffering=0) as pipe:
                try:
                    for record in self._records:
                        self._write(pipe, record)
                except BrokenPipeError:
                    log.info("%s was not read to its end", self._fifo(epoch).name)
                except s3.TransferError as error:
                    self.error = error
                    return
                os.mkfifo(self._fifo(epoch + 1))  # before the reader sees the end of this one

    def _opened(self, fifo: Path) -> int | None:
        """Its writing end once there is a reader; None when there will be none."""
        while not self._over.wait(_LOOK_SECONDS):
            try:
                descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    return None
            else:
                os.set_blocking(descriptor, True)
                return descriptor
        return None

    def _write(self, pipe: IO[bytes], record: str | bytes) -> None:
        """A record is bytes, or the address of the object that holds them."""
        pieces = self._pieces(record) if isinstance(record, str) else iter([record])
        if self._wrapped:
            content = b"".join(pieces)
            head = struct.pack("<II", _MAGIC, len(content))
            pieces = iter([head + content + bytes(-len(content) % 4)])
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[pipe.write(rest) or 0 :]

    def _pieces(self, uri: str) -> Iterator[bytes]:
        """An object's content, unpacked where the channel is."""
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)  # as gzip
        try:
            for piece in s3.chunks(self._bucket, uri):
                yield unpack.decompress(piece) if self._zipped else piece
        except zlib.error as error:
            raise s3.TransferError(f"{uri} is no gzip file: {error}") from error


@contextlib.contextmanager
def feeding(pipes: Sequence[Pipe]) -> Iterator[None]:
    """Feed pipes while the block runs. TransferError at its end when one could not be fed."""
    for pipe in pipes:
        pipe.start()
    try:
        yield
    finally:
        for pipe in pipes:
            pipe.stop()
    for pipe in pipes:
        if pipe.error:
            raise pipe.error


def _records(bucket: Any, source: Mapping[str, Any], shard: tuple[int, int]) -> Iterator[str | bytes]:
    """The objects' addresses; of an augmented manifest, the attributes of each line in the order of AttributeNames."""
    index, count = shard if source.get("S3DataDistributionType") == "ShardedByS3Key" else (0, 1)
    if source["S3DataType"] != "AugmentedManifestFile":
        of, named = s3.objects(bucket, source["S3Uri"], source["S3DataType"])
        yield from (f"s3://{of}/{key}" for key, name in named[index::count] if not name.endswith("/"))
        return
    for line in s3.augmented_manifest(bucket, source)[index::count]:
        for name, value in line.items():
            yield value if name.endswith("-ref") else json.dumps(value).encode()
