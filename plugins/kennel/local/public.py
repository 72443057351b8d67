"""Public photos of dogs by name, fetched from their publishers and laid out as `kennel data push` takes them."""

import fcntl
import json
import re
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from kennel.local import archives, datasets
from kennel.local.download import File, download
from kennel.local.errors import KennelError

NOTE = "source.json"
VALID_EVERY = 5  # of oxford-pets' photos to train on, which have no valid split of their own
DOG_BREEDS = re.compile(r"dogImages/((?:train|valid|test)/[0-9]{3}\.[^/\s]+/[^/]+\.(?i:jpe?g|png))")
# image, class, species (1 cat, 2 dog), breed; the dogs' names are lower case
DOG = re.compile(r"^(([a-z_]+)_[0-9]+) [0-9]+ 2 ([0-9]+)$", re.MULTILINE)


@dataclass(frozen=True)
class PublicSet:
    """A set: its files, the one with the photos first; where their entries go; and how many photos that are.

    `photos` is by split, None where the files' SHA-256 already say that none is missing.
    """

    name: str
    licence: str
    files: tuple[File, ...]
    places: Callable[[list[Path]], dict[str, str]]
    photos: dict[str, int] | None = None


@dataclass(frozen=True)
class Fetched:
    """Where a set lies, how many photos of how many classes it has, and which were left out, as not to be read."""

    directory: Path
    photos: int
    classes: int
    left_out: list[str]
    new: bool


def fetch(public: PublicSet, target: Path, console: Console) -> Fetched:
    """Bring a set into the directory `target`, which has all of it or is not there; one that is there is left alone.

    Until then everything is in `<target>.fetching`, where the next call finds what has come.
    Raises KennelError, one line that says what to do.
    """
    try:
        there = _there(public, target)
        scratch = target.with_name(f"{target.name}.fetching")
        if there:
            shutil.rmtree(scratch, ignore_errors=True)  # a call that was killed at its very end left it
            return there
        with _alone(scratch):
            files = _download(public, scratch, console)
            photos = scratch / "photos"
            _unpack(public, files, photos, console)
            _note(public, photos, _leave_out_unreadable(photos, console))
            photos.rename(target)
            shutil.rmtree(scratch)
    except OSError as error:
        raise KennelError(
            f"{error.filename or target} cannot be written ({error.strerror}): make room, or name another by --to."
        ) from error
    return replace(_read(target), new=True)


def _there(public: PublicSet, target: Path) -> Fetched | None:
    """The set if `target` already is it. Raises KennelError when something else is there."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    try:
        name = json.loads((target / NOTE).read_text())["name"]
    except (OSError, ValueError, KeyError, TypeError):
        name = None
    if name != public.name:
        raise KennelError(f"{target} already holds something else: name another by --to.")
    return _read(target)


def _read(target: Path) -> Fetched:
    note = json.loads((target / NOTE).read_text())
    return Fetched(target, sum(note["photos"].values()), note["classes"], note["left_out"], new=False)


@contextmanager
def _alone(scratch: Path) -> Iterator[None]:
    """Keep a second fetch from writing to the same files."""
    scratch.mkdir(parents=True, exist_ok=True)
    with (scratch / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise KennelError(f"Another kennel is fetching to {scratch}: wait until it is done.") from None
        yield


def _download(public: PublicSet, scratch: Path, console: Console) -> list[Path]:
    with _bars(console, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as bars:
        tasks = {file: bars.add_task(file.name, total=file.size) for file in public.files}

        def fetch_one(file: File) -> Path:
            path = download(file, scratch, lambda there: bars.update(tasks[file], completed=there))
            bars.update(tasks[file], completed=file.size)
            return path

        return [fetch_one(file) for file in public.files]


def _unpack(public: PublicSet, files: list[Path], photos: Path, console: Console) -> None:
    shutil.rmtree(photos, ignore_errors=True)
    places = public.places(files)
    found = Counter(place.partition("/")[0] for place in places.values())
    if public.photos not in (None, found):
        raise KennelError(
            f"{files[0]} has other photos than it had, {dict(found)} instead of {public.photos}: "
            "unpack it yourself and give the directory to `kennel data push`."
        )
    with _bars(console, MofNCompleteColumn()) as bars:
        task = bars.add_task("unpack", total=len(places))
        archives.unpack(files[0], places, photos, lambda: bars.advance(task))


def _leave_out_unreadable(photos: Path, console: Console) -> list[str]:
    """Remove what could not be pushed. Returns its paths below `photos`."""
    paths = sorted(photos.glob("*/*/*"))
    left_out = []
    with _bars(console, MofNCompleteColumn()) as bars, ThreadPoolExecutor(datasets.WORKERS) as pool:
        problems = bars.track(pool.map(datasets.problem, paths), total=len(paths), description="check")
        for path, problem in zip(paths, problems, strict=True):
            if problem:
                left_out.append(path.relative_to(photos).as_posix())
                path.unlink()
    return left_out


def _note(public: PublicSet, photos: Path, left_out: list[str]) -> None:
    paths = [path.relative_to(photos) for path in photos.glob("*/*/*")]
    note = {
        "name": public.name,
        "urls": [file.url for file in public.files],
        "licence": public.licence,
        "photos": dict(Counter(path.parts[0] for path in paths)),
        "classes": len({path.parts[1] for path in paths}),
        "left_out": left_out,
    }
    (photos / NOTE).write_text(json.dumps(note, indent=2) + "\n")


def _bars(console: Console, *columns: ProgressColumn) -> Progress:
    return Progress(TextColumn("{task.description:20}"), BarColumn(), *columns, console=console)


def dog_breeds(files: list[Path]) -> dict[str, str]:
    """The zip has the layout already, and what macOS adds."""
    matches = (DOG_BREEDS.fullmatch(name) for name in archives.names(files[0]))
    return {match[0]: match[1] for match in matches if match}


def oxford_pets(files: list[Path]) -> dict[str, str]:
    """The dogs of the pets. The official test photos are for testing, every fifth of a breed's others for valid."""
    with tarfile.open(files[1]) as annotations:
        lists = {}
        for name in ("trainval", "test"):
            content = annotations.extractfile(f"annotations/{name}.txt")
            lists[name] = sorted(DOG.findall(content.read().decode())) if content else []
    places = {}
    seen: Counter[str] = Counter()
    for image, breed, number in lists["trainval"]:
        seen[breed] += 1
        split = "train" if seen[breed] % VALID_EVERY else "valid"
        places[f"images/{image}.jpg"] = f"{split}/{int(number):03}.{breed.capitalize()}/{image}.jpg"
    for image, breed, number in lists["test"]:
        places[f"images/{image}.jpg"] = f"test/{int(number):03}.{breed.capitalize()}/{image}.jpg"
    return places


SETS = {
    public.name: public
    for public in (
        PublicSet(
            name="dog-breeds",
            licence="none stated; published by Udacity for its courses",
            # Nobody publishes a checksum: its size, each entry's CRC and the number of photos stand for one.
            files=(File("https://s3-us-west-1.amazonaws.com/udacity-aind/dog-project/dogImages.zip", 1_132_023_110),),
            places=dog_breeds,
            photos={"train": 6680, "valid": 835, "test": 836},
        ),
        PublicSet(
            name="oxford-pets",
            licence="CC BY-SA 4.0; Parkhi, Vedaldi, Zisserman, Jawahar: Cats and Dogs, CVPR 2012",
            files=(
                File(
                    "https://thor.robots.ox.ac.uk/datasets/pets/images.tar.gz",
                    791_918_971,
                    "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
                ),
                File(
                    "https://thor.robots.ox.ac.uk/datasets/pets/annotations.tar.gz",
                    19_173_078,
                    "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
                ),
            ),
            places=oxford_pets,
        ),
    )
}
