"""The vectors as the instances of embed.py leave them and train.py finds them, the same however many there were.

Each instance writes, of its share of the photos, `<split>/<host>.npz`: `features` float32 (photos, views, features),
`photos` (photos,), the paths under the split's input directory, and `class_names` (photos,). A share may be empty.
`report-<host>.json` says what was read and what could not be.

Read, the photos of a split are sorted by name, and each is there once, although an earlier attempt on another number of
instances may have left files too.
"""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset import Photo
from job import JobError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Photos:
    """The photos of a split, sorted by name: the names (n,) and the class of each (n,)."""

    names: NDArray[np.str_]
    class_names: NDArray[np.str_]


def write(folder: Path, split: str, host: str, photos: list[Photo], features: NDArray[np.float32]) -> None:
    """Writes an instance's share of a split: features (photos, views, features)."""
    (folder / split).mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / split / f"{host}.npz",
        features=features,
        photos=np.array([photo.name for photo in photos], np.str_),
        class_names=np.array([photo.class_name for photo in photos], np.str_),
    )


def write_report(folder: Path, host: str, report: dict[str, Any]) -> None:
    """Writes an instance's report; of interest to `classes_of`: `unreadable`, names, and `max_unreadable_share`."""
    (folder / f"report-{host}.json").write_text(json.dumps(report))


def read_photos(folder: Path, split: str) -> Photos:
    """The photos of a split. Raises JobError."""
    files = _files(folder, split)
    names, first = np.unique(np.concatenate([_array(file, "photos") for file in files]), return_index=True)
    return Photos(names, np.concatenate([_array(file, "class_names") for file in files])[first])


def read_features(folder: Path, split: str, names: NDArray[np.str_]) -> NDArray[np.float32]:
    """The features (n, views, features) of all photos of a split, whose sorted names are given."""
    features = np.empty(0, np.float32)
    for number, file in enumerate(_files(folder, split)):
        share = _array(file, "features")
        if number == 0:
            features = np.empty((len(names), *share.shape[1:]), np.float32)
        features[np.searchsorted(names, _array(file, "photos"))] = share
    return features


def classes_of(folder: Path) -> list[str]:
    """The classes, sorted: those with training photos. Raises JobError when no classifier can come of what is there."""
    splits = {split: read_photos(folder, split) for split in SPLITS}
    _check_unreadable(folder, sum(len(photos.names) for photos in splits.values()))
    for split, photos in splits.items():
        if not photos.names.size:
            raise JobError(f"no photo in the {split} split: add some under {split}/NNN.Breed/ and publish them again")
    classes = sorted(set(splits["train"].class_names.tolist()))
    if len(classes) < 2:
        raise JobError(f"only one class has training photos, {classes[0]}: a classifier needs two or more")
    for split, photos in splits.items():
        if untrained := sorted(set(photos.class_names.tolist()) - set(classes)):
            raise JobError(
                f"{', '.join(untrained)}: photos in the {split} split but none to train with; add some there"
            )
    return classes


def _check_unreadable(folder: Path, readable: int) -> None:
    """Raises JobError when more than the share of all photos could not be read."""
    reports = [json.loads(file.read_text()) for file in folder.glob("report-*.json")]
    unreadable = sorted({name for report in reports for name in report["unreadable"]})
    total, share = readable + len(unreadable), max((report["max_unreadable_share"] for report in reports), default=0)
    if len(unreadable) > share * total:
        raise JobError(
            f"{len(unreadable)} of {total} photos cannot be read, more than --max_unreadable_share {share} allows; "
            f"replace or remove them: {', '.join(unreadable)}"
        )


def _files(folder: Path, split: str) -> list[Path]:
    files = sorted((folder / split).glob("*.npz"))
    if not files:
        raise JobError(f"{folder / split} has no vectors: the embeddings channel must hold what embed.py wrote")
    return files


def _array(file: Path, name: str) -> NDArray[Any]:
    try:
        with np.load(file) as arrays:
            array: NDArray[Any] = arrays[name]
            return array
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise JobError(f"{file} has no vectors that can be read, embed again: {error}") from error
