"""Reading archives that come from elsewhere: only plain files, and none that would leave its directory."""

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from kennel.local.errors import KennelError


def names(archive: Path) -> list[str]:
    """The names of a zip's entries. Raises KennelError for a zip that cannot be read."""
    try:
        with zipfile.ZipFile(archive) as file:
            return file.namelist()
    except zipfile.BadZipFile as error:
        raise _broken(archive, error) from error


def unpack(archive: Path, places: Mapping[str, str], target: Path, advance: Callable[[], None]) -> None:
    """Write the entries named to their places below `target`, and no others.

    Raises KennelError for an archive that is broken, lacks one of them or has an entry that leads elsewhere.
    """
    missing = set(places)
    try:
        for name, content in _entries(archive):
            if name not in places:
                continue
            path = target / places[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                shutil.copyfileobj(content, file)
            missing.discard(name)
            advance()
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise _broken(archive, error) from error
    if missing:
        raise _broken(archive, f"it lacks {min(missing)} and {len(missing) - 1} more")


def _entries(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    return _of_zip(archive) if archive.suffix == ".zip" else _of_tar(archive)


def _of_zip(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as file:
        for entry in file.infolist():
            _refuse_strays(archive, entry.filename)
            if not entry.is_dir():
                with file.open(entry) as content:  # which checks its CRC at the end
                    yield entry.filename, content


def _of_tar(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive, "r|gz") as file:
        for entry in file:
            _refuse_strays(archive, entry.name)
            content = file.extractfile(entry) if entry.isreg() else None
            if content:
                yield entry.name, content


def _refuse_strays(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise _broken(archive, f"its entry {name!r} leads out of the directory")


def _broken(archive: Path, reason: object) -> KennelError:
    return KennelError(f"{archive} cannot be unpacked ({reason}): delete it and run the same command again.")
