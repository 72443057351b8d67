"""Which photos a run trains on: those known at its cutoff, each content once, in one split.

A data set may have millions of photos. They are sorted in a temporary SQLite database on disk, so that memory holds a
page of the listing, the classes and the dates, and no more.
"""

import datetime
import hashlib
import json
import re
import sqlite3
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

from kennel.names import Names

# test over valid over train: a photo that is tested on must not be trained on.
SPLITS = ("test", "valid", "train")
CLASS = re.compile(r"[0-9]{3}\.\w[\w.-]*")
NO_CLASS = (
    "is not a class's name; move it to NNN.Breed, of letters, digits, _ . and -, accents in one with their letter"
)
MAX_CLASSES = 1000  # as many as NNN can number; a report compares each with each, an answer has a score for each
LONGEST_KEY = 1024  # bytes, S3's own limit
LONGEST_NAME = 255  # bytes, of a file or folder on the disk of a job
PHOTO = re.compile(r"dt=([0-9]{4}-[0-9]{2}-[0-9]{2})/(train|valid|test)/([^/]+)/[^/]+\.(?i:jpe?g|png)")
LAST_MODIFIED = re.compile(rb"<LastModified>[^<]*</LastModified>")

SORT = """
    CREATE TABLE kept (key TEXT PRIMARY KEY, split TEXT, etag TEXT) WITHOUT ROWID;
    INSERT INTO kept
        SELECT key, split, etag
        FROM (SELECT *, row_number() OVER (PARTITION BY etag ORDER BY rank, key) AS place FROM photos)
        WHERE place = 1
        ORDER BY key;
    DROP TABLE photos;
"""


class SnapshotError(ValueError):
    """The photos there are cannot be trained on; the message says what is missing."""


class Photo(NamedTuple):
    """An object under `datasets/<classifier>/`: its key below that, the ETag that stands for its content, its bytes."""

    key: str
    etag: str
    size: int


class Place(NamedTuple):
    """Where a photo lies: the day it became known, its split and its class."""

    day: datetime.date
    split: str
    class_name: str


@dataclass(frozen=True)
class Snapshot:
    """The chosen photos.

    `photos` counts them by split and `days` by the day they became known; `duplicates` counts those left out.
    """

    version: str
    photos: dict[str, int]
    classes: list[str]
    days: dict[str, int]
    duplicates: int
    _kept: sqlite3.Connection = field(repr=False, compare=False)

    def keys(self, split: str) -> Iterator[str]:
        """The keys of a split's photos, in order."""
        return (key for (key,) in self._kept.execute("SELECT key FROM kept WHERE split = ? ORDER BY key", (split,)))

    def summary(self) -> dict[str, Any]:
        """What a person wants to know of it, a few hundred bytes whatever its size."""
        return {
            "version": self.version,
            "photos": self.photos,
            "classes": len(self.classes),
            "duplicates": self.duplicates,
            "days": {"first": min(self.days), "last": max(self.days), "count": len(self.days)},
        }


def is_class(name: str) -> bool:
    """Whether it is NNN.Breed: letters, digits, `_`, `.` and `-`, in Unicode's form NFKC."""
    return CLASS.fullmatch(name) is not None and unicodedata.normalize("NFKC", name) == name


def clashes(classes: Iterable[str]) -> Iterator[str]:
    """What is wrong with classes that the model would call the same (001.Pug is Pug), a line for each label."""
    numbers: dict[str, list[str]] = {}
    for name in sorted(classes):
        numbers.setdefault(name.partition(".")[2], []).append(name)
    for same, names in numbers.items():
        if len(names) > 1:
            yield f"{same} is {names[0]} and {names[1]}: put all of its photos under one number"


def place(key: str) -> Place | None:
    """Where a photo lies by its key; None for an object that is no photo.

    Raises SnapshotError for a key that no job may meet as a path, because it is unprintable, leads upwards, has a
    folder without a name or is too long; and for a date that is none.
    """
    parts = key.split("/")
    if not key.isprintable() or not {".", ".."}.isdisjoint(parts) or "" in parts[:-1] or _is_too_long(key, parts):
        raise SnapshotError(f"{key!r} is not a safe key: delete the object, and push the photo under another name")
    match = PHOTO.fullmatch(key)
    if match is None:
        return None
    try:
        day = datetime.date.fromisoformat(match[1])
    except ValueError:
        raise SnapshotError(f"{key}: there is no such date; move it to dt=YYYY-MM-DD") from None
    return Place(day, match[2], match[3])


def _is_too_long(key: str, parts: list[str]) -> bool:
    length = len(key.encode())
    return length > LONGEST_NAME and (length > LONGEST_KEY or max(len(part.encode()) for part in parts) > LONGEST_NAME)


def choose(photos: Iterable[Photo], cutoff: datetime.date) -> Snapshot:
    """The snapshot of all photos dated up to the cutoff.

    Its version is a hash over sorted (key, ETag): the same photos give the same version, whatever the day.
    Raises SnapshotError for a key that cannot be used, and when a split is empty, or there are fewer than two classes
    or more than MAX_CLASSES, or a class is missing from train, or two have the same label.
    """
    kept = sqlite3.connect("")  # a file that the system removes, however the process ends
    kept.execute("CREATE TABLE photos (key TEXT, split TEXT, etag TEXT, rank INTEGER)")
    kept.executemany("INSERT INTO photos VALUES (?, ?, ?, ?)", _known(photos, cutoff))
    (seen,) = kept.execute("SELECT count(*) FROM photos").fetchone()
    kept.executescript(SORT)

    digest = hashlib.sha256()
    photos_of: Counter[str] = Counter()
    days: Counter[str] = Counter()
    classes: dict[str, set[str]] = {split: set() for split in SPLITS}
    for key, split, etag in kept.execute("SELECT key, split, etag FROM kept ORDER BY key"):
        digest.update(f"{key} {etag}\n".encode())
        date, _, class_name, _ = key.split("/")
        photos_of[split] += 1
        days[date.removeprefix("dt=")] += 1
        classes[split].add(class_name)
    _check(classes, cutoff)
    counts = {split: photos_of[split] for split in SPLITS}
    duplicates = seen - photos_of.total()
    return Snapshot(digest.hexdigest()[:12], counts, sorted(classes["train"]), dict(days), duplicates, kept)


def _known(photos: Iterable[Photo], cutoff: datetime.date) -> Iterator[tuple[str, str, str, int]]:
    classes: set[str] = set()
    for photo in photos:
        found = place(photo.key)
        if found is None or found.day > cutoff:
            continue
        if found.class_name not in classes:
            if not is_class(found.class_name):
                raise SnapshotError(f"{photo.key}: {found.class_name} {NO_CLASS}")
            if len(classes) == MAX_CLASSES:
                raise SnapshotError(f"{photo.key}: one class more than the {MAX_CLASSES:,} that a classifier can have")
            classes.add(found.class_name)
        yield photo.key, found.split, photo.etag, SPLITS.index(found.split)


def _check(classes: dict[str, set[str]], cutoff: datetime.date) -> None:
    empty = [split for split in SPLITS if not classes[split]]
    if empty:
        raise SnapshotError(
            f"no photos up to {cutoff} in {', '.join(empty)}: "
            "push a directory with train/, valid/ and test/ by `kennel data push`"
        )
    if len(classes["train"]) < 2:
        raise SnapshotError(f"all photos are of one class, {min(classes['train'])}: a classifier needs at least two")
    unknown = (classes["valid"] | classes["test"]) - classes["train"]
    if unknown:
        raise SnapshotError(f"no training photos of {', '.join(sorted(unknown))}, which valid or test has")
    for clash in clashes(classes["train"]):
        raise SnapshotError(clash)


def listed(client: Any, names: Names) -> Iterator[Photo]:
    """Every object of the classifier's data sets, in the order of their keys."""
    # botocore would spend three quarters of a listing's time on dates that nobody reads
    client.meta.events.register("before-parse.s3.ListObjectsV2", _drop_dates, unique_id="kennel-drop-dates")
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=names.bucket, Prefix=names.datasets):
        for item in page.get("Contents", []):
            yield Photo(item["Key"].removeprefix(names.datasets), item["ETag"].strip('"'), item["Size"])


def _drop_dates(response_dict: dict[str, Any], **_: Any) -> None:
    response_dict["body"] = LAST_MODIFIED.sub(b"", response_dict["body"])


def write(client: Any, names: Names, snapshot: Snapshot) -> None:
    """Put the manifests (SageMaker's ManifestFile) and summary.json into the bucket.

    summary.json goes last: where it is, the rest is too. It also has the names of the classes and the photos of each
    day.
    """
    prefix = names.snapshot(snapshot.version)
    for split in SPLITS:
        with tempfile.TemporaryFile() as file:
            _write_manifest(file, names.uri(names.datasets), snapshot.keys(split))
            file.seek(0)
            client.put_object(Bucket=names.bucket, Key=f"{prefix}{split}.manifest", Body=file)
    summary = {**snapshot.summary(), "class_names": snapshot.classes, "photos_by_day": snapshot.days}
    client.put_object(Bucket=names.bucket, Key=f"{prefix}summary.json", Body=json.dumps(summary).encode())


def _write_manifest(file: IO[bytes], root: str, keys: Iterable[str]) -> None:
    file.write(f"[{json.dumps({'prefix': root})}".encode())
    file.writelines(f",\n{json.dumps(key)}".encode() for key in keys)
    file.write(b"]")
