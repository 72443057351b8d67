"""Which photos a run trains on: those known at its cutoff, each content once, in one split."""

import datetime
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kennel.names import Names

# test over valid over train: a photo that is tested on must not be trained on.
SPLITS = ("test", "valid", "train")
PHOTO = re.compile(r"dt=(\d{4}-\d{2}-\d{2})/(train|valid|test)/([^/]+)/[^/]+\.(?i:jpe?g|png)")


class SnapshotError(ValueError):
    """The photos there are cannot be trained on; the message says what is missing."""


@dataclass(frozen=True)
class Photo:
    """An object under `datasets/<classifier>/`: its key below that prefix and the ETag that stands for its content."""

    key: str
    etag: str


@dataclass(frozen=True)
class Snapshot:
    """The chosen photos' keys by split, in order; `duplicates` counts those left out."""

    version: str
    keys: dict[str, list[str]]
    classes: list[str]
    duplicates: int

    def summary(self) -> dict[str, Any]:
        """What a person wants to know of it."""
        counts = {split: len(keys) for split, keys in self.keys.items()}
        return {"version": self.version, "photos": counts, "classes": self.classes, "duplicates": self.duplicates}


def choose(photos: Iterable[Photo], cutoff: datetime.date) -> Snapshot:
    """The snapshot of all photos dated up to the cutoff.

    Its version is a hash over sorted (key, ETag): the same photos give the same version, whatever the day.
    Raises SnapshotError when a split is empty, or there are fewer than two classes, or a class is missing from train.
    """
    placed: dict[str, tuple[int, str]] = {}
    seen = 0
    for photo in photos:
        match = PHOTO.fullmatch(photo.key)
        if match is None or _day(photo.key, match[1]) > cutoff:
            continue
        seen += 1
        candidate = (SPLITS.index(match[2]), photo.key)
        placed[photo.etag] = min(placed.get(photo.etag, candidate), candidate)
    keys: dict[str, list[str]] = {split: [] for split in SPLITS}
    for rank, key in sorted(placed.values()):
        keys[SPLITS[rank]].append(key)
    _check(keys, cutoff)
    digest = hashlib.sha256("\n".join(f"{key} {etag}" for etag, (_, key) in _by_key(placed)).encode())
    return Snapshot(digest.hexdigest()[:12], keys, sorted(_classes(keys["train"])), seen - len(placed))


def _day(key: str, text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise SnapshotError(f"{key}: there is no such date; move it to dt=YYYY-MM-DD") from None


def _by_key(placed: dict[str, tuple[int, str]]) -> list[tuple[str, tuple[int, str]]]:
    return sorted(placed.items(), key=lambda item: item[1][1])


def _classes(keys: Iterable[str]) -> Counter[str]:
    return Counter(key.split("/")[2] for key in keys)


def _check(keys: dict[str, list[str]], cutoff: datetime.date) -> None:
    empty = [split for split in SPLITS if not keys[split]]
    if empty:
        raise SnapshotError(
            f"no photos up to {cutoff} in {', '.join(empty)}: "
            "push a directory with train/, valid/ and test/ to the bucket, on the local AWS by `kennel data push`"
        )
    classes = _classes(keys["train"])
    if len(classes) < 2:
        raise SnapshotError(f"all photos are of one class, {next(iter(classes))}: a classifier needs at least two")
    unknown = (_classes(keys["valid"]) + _classes(keys["test"])).keys() - classes.keys()
    if unknown:
        raise SnapshotError(f"no training photos of {', '.join(sorted(unknown))}, which valid or test has")


def listed(client: Any, names: Names) -> Iterator[Photo]:
    """Every object of the classifier's data sets."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=names.bucket, Prefix=names.datasets):
        for item in page.get("Contents", []):
            yield Photo(item["Key"].removeprefix(names.datasets), item["ETag"].strip('"'))


def write(client: Any, names: Names, snapshot: Snapshot) -> None:
    """Put the manifests (SageMaker's ManifestFile) and summary.json into the bucket."""
    prefix = names.snapshot(snapshot.version)
    documents: dict[str, Any] = {
        f"{split}.manifest": [{"prefix": names.uri(names.datasets)}, *keys] for split, keys in snapshot.keys.items()
    }
    for name, document in {**documents, "summary.json": snapshot.summary()}.items():
        client.put_object(Bucket=names.bucket, Key=prefix + name, Body=json.dumps(document).encode())
