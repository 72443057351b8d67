import dataclasses
import fcntl
import hashlib
import io
import json
import os
import re
import signal
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from kennel import cli
from kennel.local import datasets, public
from kennel.local.download import File
from kennel.local.errors import KennelError
from kennel.local.public import SETS, Fetched, PublicSet, fetch
from tests.unit.kennel.local.publisher import Publisher, publishing

BREEDS = ("001.Affenpinscher", "002.Afghan_hound")


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with publishing() as found:
        yield found


def photo(number: int) -> bytes:
    content = io.BytesIO()
    Image.effect_noise((64, 48), 20 + number).convert("RGB").save(content, "JPEG")
    return content.getvalue()


def zipped(entries: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, body in entries.items():
            file.writestr(name, body)
    return content.getvalue()


def tarred(entries: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        for name, body in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            file.addfile(info, io.BytesIO(body))
    return content.getvalue()


def dog_photos() -> dict[str, bytes]:
    """The zip's entries: three photos to train on of each breed, one in the other splits, and what macOS adds."""
    places = [
        f"{split}/{breed}/{breed[4:]}_{number:05}.jpg"
        for split, count in (("train", 3), ("valid", 1), ("test", 1))
        for breed in BREEDS
        for number in range(count)
    ]
    extras = {"dogImages/train/": b"", "dogImages/.DS_Store": b"x", "__MACOSX/dogImages/train/._x.jpg": b"x"}
    return extras | {f"dogImages/{place}": photo(number) for number, place in enumerate(places)}


def dog_breeds(publisher: Publisher, content: bytes) -> PublicSet:
    """The set `dog-breeds`, as large as the test's."""
    publisher.files["dogImages.zip"] = content
    files = (File(f"{publisher.url}/dog-project/dogImages.zip", len(content)),)
    return dataclasses.replace(SETS["dog-breeds"], files=files, photos={"train": 6, "valid": 2, "test": 2})


def get(which: PublicSet, target: Path) -> Fetched:
    return fetch(which, target, Console(quiet=True))


def test_dog_breeds_is_laid_out_ready_to_be_pushed(publisher: Publisher, tmp_path: Path) -> None:
    entries = dog_photos()
    fetched = get(dog_breeds(publisher, zipped(entries)), tmp_path / "dogs")
    assert fetched == Fetched(tmp_path / "dogs", photos=10, classes=2, left_out=[], new=True)
    assert [path.name for path in tmp_path.iterdir()] == ["dogs"]
    checked = datasets.check(tmp_path / "dogs")
    assert len(checked.files) == 10
    assert {f"dogImages/{file}": (tmp_path / "dogs" / file).read_bytes() for file in checked.files}.items() < (
        entries.items()
    )


def test_a_second_call_finds_it_there(publisher: Publisher, tmp_path: Path) -> None:
    which = dog_breeds(publisher, zipped(dog_photos()))
    first = get(which, tmp_path / "dogs")
    publisher.requests.clear()
    (tmp_path / "dogs.fetching").mkdir()  # as after a kill at the very end
    assert get(which, tmp_path / "dogs") == dataclasses.replace(first, new=False)
    assert publisher.requests == []
    assert [path.name for path in tmp_path.iterdir()] == ["dogs"]


def test_a_photo_that_cannot_be_read_is_left_out_and_named(publisher: Publisher, tmp_path: Path) -> None:
    entries = dog_photos()
    entries["dogImages/train/001.Affenpinscher/Affenpinscher_00001.jpg"] = photo(1)[:-300]
    fetched = get(dog_breeds(publisher, zipped(entries)), tmp_path / "dogs")
    assert fetched.left_out == ["train/001.Affenpinscher/Affenpinscher_00001.jpg"]
    assert fetched.photos == 9
    assert len(datasets.check(tmp_path / "dogs").files) == 9


def test_what_an_earlier_call_left_half_unpacked_is_unpacked_anew(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = dog_breeds(publisher, zipped(dog_photos()))
    seen: list[Path] = []

    def interrupted(path: Path) -> str | None:
        seen.append(path)
        raise KeyboardInterrupt

    with monkeypatch.context() as during, pytest.raises(KeyboardInterrupt):
        during.setattr(datasets, "problem", interrupted)
        get(which, tmp_path / "dogs")
    assert seen
    assert not (tmp_path / "dogs").exists()
    seen[0].write_text("half")
    publisher.requests.clear()
    assert get(which, tmp_path / "dogs").photos == 10
    assert publisher.requests == []  # the archive was whole


def stray(entries: dict[str, bytes]) -> bytes:
    return zipped({**entries, "dogImages/train/../../../../outside.jpg": photo(0)})


def absolute(entries: dict[str, bytes]) -> bytes:
    return zipped({"/outside.jpg": photo(0), **entries})


def damaged(entries: dict[str, bytes]) -> bytes:
    body = entries["dogImages/valid/001.Affenpinscher/Affenpinscher_00000.jpg"]
    return zipped(entries).replace(body, body[:-1] + b"x")


def no_zip(entries: dict[str, bytes]) -> bytes:
    return b"<html>Moved</html>"


def photos_missing(entries: dict[str, bytes]) -> bytes:
    return zipped({name: body for name, body in entries.items() if "valid/001" not in name})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (stray, "its entry 'dogImages/train/../../../../outside.jpg' leads out of the directory): delete it and"),
        (absolute, "its entry '/outside.jpg' leads out of the directory): delete it and run the same command again"),
        (damaged, "cannot be unpacked (Bad CRC-32 for file 'dogImages/valid/001.Affenpinscher/"),
        (no_zip, "cannot be unpacked (File is not a zip file): delete it and run the same command again"),
        (photos_missing, "has other photos than it had, {'train': 6, 'valid': 1, 'test': 2} instead of"),
    ],
)
def test_an_archive_that_is_not_the_one_known_leaves_nothing_behind(
    publisher: Publisher, tmp_path: Path, spoil: Callable[[dict[str, bytes]], bytes], message: str
) -> None:
    home = tmp_path / "home"
    with pytest.raises(KennelError, match=re.escape(message)) as refusal:
        get(dog_breeds(publisher, spoil(dog_photos())), home / "dogs")
    assert "\n" not in str(refusal.value)
    assert [path.name for path in home.iterdir()] == ["dogs.fetching"]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def of_someone_else(target: Path) -> None:
    target.mkdir()
    (target / "thesis.txt").touch()


def a_file(target: Path) -> None:
    target.touch()


def below_a_file(target: Path) -> None:
    target.parent.rmdir()
    target.parent.touch()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (of_someone_else, "dogs already holds something else: name another by --to"),
        (a_file, "dogs already holds something else: name another by --to"),
        (below_a_file, "cannot be written (Not a directory): make room, or name another by --to"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_before_the_download(
    publisher: Publisher, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    target = tmp_path / "home" / "dogs"
    target.parent.mkdir()
    spoil(target)
    with pytest.raises(KennelError, match=re.escape(message)):
        get(dog_breeds(publisher, zipped(dog_photos())), target)
    assert publisher.requests == []


def test_a_second_fetch_at_the_same_time_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "dogs.fetching").mkdir()
    with (tmp_path / "dogs.fetching" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(KennelError, match=r"Another kennel is fetching to .*dogs.fetching: wait until"):
            get(dog_breeds(publisher, zipped(dog_photos())), tmp_path / "dogs")


def pets(publisher: Publisher, images: dict[str, bytes]) -> PublicSet:
    """The set `oxford-pets`, of two dogs and a cat: ten photos each, six of them to train on."""
    lines = [
        [f"{breed}_{number} {place} {species} {place - 1 if species == 2 else 1}" for number in numbers]
        for numbers in (range(1, 7), range(7, 11))
        for breed, place, species in (("Abyssinian", 1, 1), ("american_bulldog", 2, 2), ("shiba_inu", 34, 2))
    ]
    trainval, test = ("".join(f"{line}\n" for line in part) for part in (chain(*lines[:3]), chain(*lines[3:])))
    files = {
        "images.tar.gz": tarred(images),
        "annotations.tar.gz": tarred(
            {
                "annotations/trainval.txt": trainval.encode(),
                "annotations/test.txt": test.encode(),
                "annotations/trimaps/._x.png": b"x",
            }
        ),
    }
    publisher.files |= files
    published = tuple(
        File(f"{publisher.url}/pets/{name}", len(content), hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    )
    return dataclasses.replace(SETS["oxford-pets"], files=published)


def pet_photos() -> dict[str, bytes]:
    breeds = ("Abyssinian", "american_bulldog", "shiba_inu")
    names = [f"images/{breed}_{number}.jpg" for breed in breeds for number in range(1, 11)]
    return {"images/Abyssinian_1.mat": b"x"} | {name: photo(number) for number, name in enumerate(names)}


def test_oxford_pets_are_the_dogs_in_three_splits(publisher: Publisher, tmp_path: Path) -> None:
    images = pet_photos()
    fetched = get(pets(publisher, images), tmp_path / "pets")
    assert (fetched.photos, fetched.classes) == (20, 2)
    checked = datasets.check(tmp_path / "pets")
    assert checked.classes == {"001.American_bulldog", "033.Shiba_inu"}
    shiba = [file for file in checked.files if "Shiba" in file]
    assert [file for file in shiba if not file.startswith("train/")] == [
        "valid/033.Shiba_inu/shiba_inu_5.jpg",
        *(f"test/033.Shiba_inu/shiba_inu_{number}.jpg" for number in (10, 7, 8, 9)),
    ]
    content = (tmp_path / "pets/valid/033.Shiba_inu/shiba_inu_5.jpg").read_bytes()
    assert content == images["images/shiba_inu_5.jpg"]
    note = json.loads((tmp_path / "pets/source.json").read_text())
    assert note["photos"] == {"train": 10, "valid": 2, "test": 8}
    assert note["licence"].startswith("CC BY-SA 4.0")


def test_a_tar_that_lacks_a_photo_or_leads_elsewhere_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    images = pet_photos()
    del images["images/shiba_inu_9.jpg"]
    with pytest.raises(KennelError, match=re.escape("it lacks images/shiba_inu_9.jpg and 0 more")):
        get(pets(publisher, images), tmp_path / "one")
    with pytest.raises(KennelError, match=re.escape("its entry 'images/../../x.jpg' leads out of the directory")):
        get(pets(publisher, {"images/../../x.jpg": b"", **images}), tmp_path / "two")
    assert not (tmp_path / "x.jpg").exists()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """`kennel ARGUMENTS` in this process; gives its exit code."""
    monkeypatch.setattr("sys.argv", ["kennel", *arguments])
    with pytest.raises(SystemExit) as done:
        cli.main()
    return int(done.value.code or 0)


def test_the_command_says_what_came_and_what_is_next(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = dog_photos()
    entries["dogImages/test/001.Affenpinscher/Affenpinscher_00001.jpg"] = b"no photo"
    which = dataclasses.replace(dog_breeds(publisher, zipped(entries)), photos=None)
    monkeypatch.setitem(public.SETS, "dog-breeds", which)
    monkeypatch.setenv("KENNEL_HOME", str(tmp_path))
    assert run(monkeypatch, "data", "fetch", "dog-breeds") == 0
    assert capsys.readouterr().out.splitlines() == [
        "Left out, as it is not a readable photo: test/001.Affenpinscher/Affenpinscher_00001.jpg",
        f"dog-breeds, 10 photos of 2 classes, is now in {tmp_path}/data/dog-breeds.",
        f"Next: kennel demo --data {tmp_path}/data/dog-breeds",
    ]
    assert run(monkeypatch, "data", "fetch", "dog-breeds") == 0
    assert "is already in" in capsys.readouterr().out


def test_an_interrupted_command_says_how_to_go_on(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(public.SETS, "dog-breeds", dog_breeds(publisher, zipped(dog_photos())))
    publisher.on_request = lambda: os.kill(os.getpid(), signal.SIGINT)
    assert run(monkeypatch, "data", "fetch", "dog-breeds", "--to", str(tmp_path / "dogs")) == 130
    assert "Interrupted. What is downloaded stays: the same command goes on from there." in capsys.readouterr().err


def test_a_failure_of_the_command_is_one_line_and_exit_code_2(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(public.SETS, "dog-breeds", dog_breeds(publisher, zipped(dog_photos())))
    publisher.status = 404
    assert run(monkeypatch, "data", "fetch", "dog-breeds", "--to", str(tmp_path / "dogs")) == 2
    shown = capsys.readouterr().err.splitlines()
    assert shown[-1].startswith(f"kennel: {publisher.url}/dog-project/dogImages.zip answered 404 Not Found: ")
    assert not [line for line in shown if "Traceback" in line]
