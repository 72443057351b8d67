import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import embed
from dataset import Photo
from embed import read_views
from job import JobError
from tests.unit.ml.conftest import BACKBONE


@pytest.fixture
def given(tmp_path: Path, dogs: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The job's input directory, with the drawn dogs in it."""
    folder = tmp_path / "input"
    (folder / "weights").mkdir(parents=True)
    shutil.copy(weights, folder / f"weights/{BACKBONE}.pth")
    for split in embed.SPLITS:
        shutil.copytree(dogs / split, folder / split / "dt=2026-11-22" / split)
    monkeypatch.setattr(embed, "INPUT", folder)
    monkeypatch.setattr(embed, "OUTPUT", tmp_path / "output")
    return folder


def run(*arguments: str) -> dict[str, Any]:
    embed.main(["--backbone", BACKBONE, *arguments])
    report: dict[str, Any] = json.loads((embed.OUTPUT / "report.json").read_text())
    return report


def arrays(split: str) -> dict[str, Any]:
    with np.load(embed.OUTPUT / f"{split}.npz") as file:
        return dict(file)


def photos_of(given: Path, split: str) -> list[Path]:
    return sorted((given / split).rglob("*.jpg"))


def test_writes_vectors_labels_and_names(given: Path) -> None:
    report = run("--views", "3")
    assert report.pop("seconds") > 0
    assert report == {
        "photos": {"train": 12, "valid": 4, "test": 4},
        "classes": 4,
        "unreadable": [],
        "features": 1280,
    }
    classes = json.loads((embed.OUTPUT / "classes.json").read_text())
    assert classes == sorted(folder.name for folder in (given / "train/dt=2026-11-22/train").iterdir())
    for split, photos, views in (("train", 12, 3), ("valid", 4, 1), ("test", 4, 1)):
        written = arrays(split)
        assert written["features"].shape == (photos, views, 1280)
        assert (written["features"].dtype, written["labels"].dtype) == (np.float32, np.int64)
        names = [path.relative_to(given / split).as_posix() for path in photos_of(given, split)]
        assert written["photos"].tolist() == names
        assert [classes[label] for label in written["labels"]] == [name.split("/")[-2] for name in names]
        assert np.isfinite(written["features"]).all()


def test_embeds_the_same_photos_the_same_again(given: Path) -> None:
    run("--views", "2")
    first = arrays("train")
    run("--views", "2")
    assert (arrays("train")["features"] == first["features"]).all()
    run("--views", "2", "--seed", "1")
    again = arrays("train")["features"]
    np.testing.assert_allclose(again[:, 0], first["features"][:, 0])
    assert not np.isclose(again[:, 1], first["features"][:, 1]).all(axis=1).any()


def test_a_photos_views_depend_on_no_other_photo(dogs: Path) -> None:
    path = photos_of(dogs, "train")[0]
    views = read_views(Photo(path, "a.jpg", "001.Pug"), 4, 224, 0)
    again = read_views(Photo(path, "a.jpg", "001.Pug"), 6, 224, 0)
    assert all((one == other).all() for one, other in zip(views, again, strict=False))
    assert all(view.shape == (224, 224, 3) for view in again)
    assert len({view.tobytes() for view in again}) == 6


def test_an_extreme_panorama_can_be_cropped(tmp_path: Path) -> None:
    Image.new("RGB", (2000, 3), "red").save(tmp_path / "a.jpg")
    views = read_views(Photo(tmp_path / "a.jpg", "a.jpg", "001.Pug"), 8, 224, 0)
    assert all(view.shape == (224, 224, 3) for view in views)


def test_leaves_out_and_lists_photos_that_cannot_be_read(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = photos_of(given, "train")[1]
    broken.write_bytes(broken.read_bytes()[:200])
    report = run("--views", "1", "--max_unreadable_share", "0.05")
    name = broken.relative_to(given / "train").as_posix()
    assert report["unreadable"] == [name]
    assert report["photos"] == {"train": 11, "valid": 4, "test": 4}
    assert name not in arrays("train")["photos"]
    assert f"left out {name}: broken image" in capsys.readouterr().out


def test_fails_when_too_many_photos_cannot_be_read(given: Path) -> None:
    for photo in photos_of(given, "train")[:2]:
        photo.write_bytes(b"")
    with pytest.raises(
        JobError, match=r"^2 of 20 photos cannot be read, more than --max_unreadable_share 0.05 allows; "
    ):
        run("--views", "1", "--max_unreadable_share", "0.05")
    assert not embed.OUTPUT.exists()


def test_fails_when_a_class_loses_its_only_readable_photos(given: Path) -> None:
    for photo in photos_of(given, "train")[:3]:
        photo.write_bytes(b"")
    with pytest.raises(JobError, match=r"^001\.Dachshund: photos in the valid split but none to train with"):
        run("--views", "1", "--max_unreadable_share", "0.5")


def test_fails_with_one_class(given: Path) -> None:
    for split in embed.SPLITS:
        for folder in sorted((given / split / "dt=2026-11-22" / split).iterdir())[1:]:
            shutil.rmtree(folder)
    with pytest.raises(JobError, match=r"^only one class has training photos, 001\.Dachshund: a classifier needs two"):
        run()


@pytest.mark.parametrize("split", embed.SPLITS)
def test_fails_with_an_empty_split(given: Path, split: str) -> None:
    shutil.rmtree(given / split)
    with pytest.raises(JobError, match=rf"^no photo in the {split} split: add some under {split}/NNN\.Breed/"):
        run()


def test_fails_without_weights(given: Path) -> None:
    (given / f"weights/{BACKBONE}.pth").unlink()
    with pytest.raises(JobError, match=r"efficientnet_lite0\.pth is missing"):
        run()
