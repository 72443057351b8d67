"""What photos there are in the bucket, and what a run would make of them."""

import datetime
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.filesize import decimal
from rich.table import Table

from kennel import registry, snapshot
from kennel.local.accounts import Account
from kennel.local.datasets import SPLITS
from kennel.local.errors import KennelError


@dataclass
class Partition:
    """The photos of one date: how many in each split, of which classes, and their bytes."""

    date: datetime.date
    photos: Counter[str] = field(default_factory=Counter)
    classes: set[str] = field(default_factory=set)
    size: int = 0


def partitions(photos: Iterable[snapshot.Photo]) -> list[Partition]:
    """The partitions, oldest first. Raises KennelError for a key that no run could use."""
    found: dict[datetime.date, Partition] = {}
    try:
        for photo in photos:
            place = snapshot.place(photo.key)
            if place:
                partition = found.setdefault(place.day, Partition(place.day))
                partition.photos[place.split] += 1
                partition.classes.add(place.class_name)
                partition.size += photo.size
    except snapshot.SnapshotError as error:
        raise KennelError(f"{error}.") from error
    return sorted(found.values(), key=lambda partition: partition.date)


def table(found: list[Partition]) -> Table:
    """A row for each partition, and their sums."""
    rows = Table(show_footer=True)
    photos = sum((partition.photos for partition in found), Counter[str]())
    classes = set().union(*(partition.classes for partition in found))
    rows.add_column("date", f"{len(found)} in all")
    for name in SPLITS:
        rows.add_column(name, f"{photos[name]:,}", justify="right")
    rows.add_column("classes", f"{len(classes):,}", justify="right")
    rows.add_column("size", decimal(sum(partition.size for partition in found)), justify="right")
    for partition in found:
        counts = (f"{partition.photos[name]:,}" for name in SPLITS)
        rows.add_row(str(partition.date), *counts, f"{len(partition.classes):,}", decimal(partition.size))
    return rows


def describe(account: Account, cutoff: datetime.date) -> Table:
    """What a run with this cutoff would train on, and whether there is a model of just that.

    Raises KennelError when it could not train.
    """
    try:
        chosen = snapshot.choose(snapshot.listed(account.client("s3"), account.names), cutoff)
    except snapshot.SnapshotError as error:
        raise KennelError(f"{error}.") from error
    packages = registry.packages(account.client("sagemaker"), account.names.package_group)
    model = registry.made_of(packages, {"snapshot": chosen.version})
    days = chosen.summary()["days"]
    facts = {
        "cutoff": f"{cutoff} (UTC)",
        "snapshot": chosen.version,
        "photos": ", ".join(f"{split} {chosen.photos[split]:,}" for split in SPLITS),
        "classes": f"{len(chosen.classes):,}",
        "known": f"{days['first']} to {days['last']}, dates: {days['count']}",
        "duplicates": f"{chosen.duplicates:,} left out",
        "model": f"{model.run}, {model.status} ({model.arn})" if model else "none of just these photos yet",
    }
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold")
    rows.add_column(overflow="fold")
    for name, value in facts.items():
        rows.add_row(name, value)
    return rows
