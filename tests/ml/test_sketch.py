import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from breeds import BREEDS, choose
from coats import COLOURS, FURS
from dogs import BUILDS, EARS, MUZZLES
from sketch import draw
from tests.ml.conftest import ML


def drawn(out: Path, seed: int) -> dict[str, bytes]:
    paths = draw(out, choose(3), {"train": 2, "valid": 1, "test": 1}, seed)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(ML / "sketch.py"), *arguments], capture_output=True, text=True)


def test_draws_the_same_pictures_again(tmp_path: Path) -> None:
    assert drawn(tmp_path / "a", 0) == drawn(tmp_path / "b", 0)


def test_draws_other_pictures_with_another_seed(tmp_path: Path) -> None:
    first, second = drawn(tmp_path / "a", 0), drawn(tmp_path / "b", 1)
    assert first.keys() == second.keys()
    assert not set(first.values()) & set(second.values())


def test_draws_no_picture_twice(tmp_path: Path) -> None:
    pictures = list(drawn(tmp_path, 0).values())
    assert len(set(pictures)) == len(pictures) == 12


def test_lays_out_the_data_set_the_jobs_read(tmp_path: Path) -> None:
    done = command(str(tmp_path), "--breeds", "12", "--train", "1", "--valid", "0")
    assert (done.returncode, done.stdout) == (0, f"drew 24 dogs of 12 breeds in {tmp_path}\n")
    classes = sorted(folder.name for folder in (tmp_path / "train").iterdir())
    assert classes[0] == "001.Alaskan_malamute"
    assert [name[:4] for name in classes] == [f"{number:03}." for number in range(1, 13)]
    assert classes == sorted(folder.name for folder in (tmp_path / "test").iterdir())
    for path in tmp_path.rglob("*.jpg"):
        with Image.open(path) as image:
            assert image.format == "JPEG"
            assert all(224 <= side <= 288 for side in image.size)


@pytest.mark.parametrize("count", ["1", "134", "-5"])
def test_refuses_a_number_of_breeds_it_does_not_have(tmp_path: Path, count: str) -> None:
    done = command(str(tmp_path / "out"), "--breeds", count)
    assert (done.returncode, done.stderr) == (2, f"--breeds must be from 2 to 133, not {count}\n")
    assert not (tmp_path / "out").exists()


def test_a_larger_choice_holds_the_smaller_ones() -> None:
    choices = [{breed.name for breed in choose(count)} for count in range(2, 134)]
    assert all(small < large for small, large in pairwise(choices))


def test_every_breed_can_be_drawn(tmp_path: Path) -> None:
    for breed in BREEDS.values():
        assert {breed.coat, breed.second} <= COLOURS.keys()
        assert breed.build in BUILDS
        assert breed.ears in EARS
        assert breed.muzzle in MUZZLES
        assert breed.fur in FURS
    paths = list(draw(tmp_path, choose(133), {"train": 1}, 0))
    assert len(paths) == 133
    assert all(np.asarray(Image.open(path)).std() > 10 for path in paths)
