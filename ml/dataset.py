"""A split's photos as a job finds them: `dt=2026-11-22/train/001.Pug/a.jpg` under its input directory."""

from dataclasses import dataclass
from pathlib import Path

SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True)
class Photo:
    """A photo's file, its path under the input directory, and its class: the folder it lies in, `001.Pug`."""

    path: Path
    name: str
    class_name: str


def find_photos(folder: Path) -> list[Photo]:
    """All photos below the folder, sorted by name; none when there is no such folder."""
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    photos = (Photo(path, path.relative_to(folder).as_posix(), path.parent.name) for path in paths)
    return sorted(photos, key=lambda photo: photo.name)
