"""Photos on their way to the bucket: checked as a whole first, so that nothing is half pushed, then uploaded."""

import datetime
import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from kennel.local.errors import KennelError
from kennel.snapshot import MAX_CLASSES, clashes, is_class

SPLITS = ("train", "valid", "test")
CONTENT_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}
WORKERS = 8


@dataclass(frozen=True)
class Photos:
    """A checked directory of photos: `<split>/NNN.Breed/<file>`, relative to `root`."""

    root: Path
    files: tuple[str, ...]

    @property
    def classes(self) -> set[str]:
        """Its classes, as folders name them."""
        return {file.split("/")[1] for file in self.files}


@dataclass(frozen=True)
class Pushed:
    """What a push changed."""

    uploaded: int
    unchanged: int
    removed: int

    def __str__(self) -> str:
        removed = f", {self.removed} removed" if self.removed else ""
        return f"{self.uploaded} uploaded, {self.unchanged} already there{removed}"


def check(root: Path) -> Photos:
    """Look at every photo of a directory.

    Raises KennelError, one line that names the first problem and how many more there are.
    """
    if not root.is_dir():
        raise KennelError(
            f"{root} is not a directory: give one with train/, valid/ and test/, each of NNN.Breed/*.jpg."
        )
    classes = {split: _classes(root / split) for split in SPLITS}
    _check_classes(root, classes)
    paths = [path for folders in classes.values() for folder in folders.values() for path in folder]
    with ThreadPoolExecutor(WORKERS) as pool:
        _refuse(problem for problem in pool.map(problem, paths) if problem)
    return Photos(root, tuple(path.relative_to(root).as_posix() for path in paths))


def push(
    s3: Any, bucket: str, prefix: str, photos: Photos, *, mirror: bool = False, advance: Callable[[], None]
) -> Pushed:
    """Upload new and changed photos below `prefix`, calling `advance` for each; with `mirror` remove all others."""
    stored = _stored(s3, bucket, prefix)

    def upload(file: str) -> bool:
        body = (photos.root / file).read_bytes()
        # for an object put in one piece into an SSE-S3 bucket, S3's ETag is the MD5 of its content
        changed = stored.get(file) != hashlib.md5(body, usedforsecurity=False).hexdigest()
        if changed:
            content_type = CONTENT_TYPES[Path(file).suffix.lower()]
            s3.put_object(Bucket=bucket, Key=prefix + file, Body=body, ContentType=content_type)
        advance()
        return changed

    with ThreadPoolExecutor(WORKERS) as pool:
        uploaded = sum(pool.map(upload, photos.files))
    others = sorted(stored.keys() - set(photos.files)) if mirror else []
    for file in others:
        s3.delete_object(Bucket=bucket, Key=prefix + file)
    return Pushed(uploaded, len(photos.files) - uploaded, len(others))


def others(s3: Any, bucket: str, prefix: str, photos: Photos) -> set[str]:
    """What is below a prefix besides these photos."""
    return _stored(s3, bucket, prefix).keys() - set(photos.files)


def prefix(datasets: str, date: datetime.date) -> str:
    """Where the photos of a date lie."""
    return f"{datasets}dt={date:%Y-%m-%d}/"


def _classes(split: Path) -> dict[str, list[Path]]:
    """The photos of each class of a split; hidden files are not looked at."""
    if not split.is_dir():
        return {}
    folders = sorted(path for path in split.iterdir() if path.is_dir() and not path.name.startswith("."))
    return {
        folder.name: sorted(path for path in folder.iterdir() if not path.name.startswith(".")) for folder in folders
    }


def _check_classes(root: Path, classes: dict[str, dict[str, list[Path]]]) -> None:
    known = {name for folders in classes.values() for name in folders}
    if not any(photos for folders in classes.values() for photos in folders.values()):
        raise KennelError(
            f"{root} has no photos: it needs train/, valid/ and test/, each of NNN.Breed/*.jpg{_instead(root)}."
        )
    for split in SPLITS:
        if not classes[split]:
            raise KennelError(f"{root} has no photos in {split}/: each of train/, valid/ and test/ needs every class.")
    if len(known) == 1:
        raise KennelError(f"{root} has only the class {known.pop()}: there is nothing to tell apart; add a second one.")
    if len(known) > MAX_CLASSES:
        raise KennelError(f"{root} has {len(known):,} classes: a classifier has {MAX_CLASSES:,} at most.")
    _refuse(
        f"{name!r} is not a class's name: call the folder NNN.Breed" for name in sorted(known) if not is_class(name)
    )
    check_labels(known)
    _refuse(
        f"{split}/{name} has no photo: every class needs one in each of train/, valid/ and test/"
        for name in sorted(known)
        for split in SPLITS
        if not classes[split].get(name)
    )


def _instead(root: Path) -> str:
    """What a directory is, or has, where it should have the splits."""
    if root.resolve().name in SPLITS:
        return f"; it is one of them, so give {root.resolve().parent}"
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and path.name not in SPLITS)
    return f"; it has {', '.join(folders[:3])}" if folders else ""


def check_labels(classes: set[str]) -> None:
    """Raise KennelError for classes that the model would call the same."""
    _refuse(clashes(classes))


def problem(path: Path) -> str | None:
    """Why a photo cannot be pushed, or None."""
    if not path.name.isprintable():
        return f"{str(path)!r} has a name that cannot be printed: rename it"
    if path.suffix.lower() not in CONTENT_TYPES:
        return f"{path} is neither .jpg, .jpeg nor .png: convert or remove it"
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            # JPEGs are decoded at a small scale: quick, and it still reads the file to its end, which verify() does not
            image.draft("RGB", (64, 64))
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return f"{path} is not a readable JPEG or PNG image: replace or remove it"
    return None


def _refuse(problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        more = f" ({len(found) - 1} more like it)" if len(found) > 1 else ""
        raise KennelError(f"{found[0]}{more}. Nothing was pushed.")


def _stored(s3: Any, bucket: str, prefix: str) -> dict[str, str]:
    """The ETag of every object below a prefix, by the rest of its key."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    objects = (item for page in pages for item in page.get("Contents", []))
    return {item["Key"].removeprefix(prefix): item["ETag"].strip('"') for item in objects}
