import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import embed
import embeddings
from dataset import Photo
from embed import read_views
from job import JobError
from tests.ml.conftest import BACKBONE


@pytest.fixture
def given(tmp_path: Path, dogs: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The job's input directory, with the drawn dogs in it."""
    folder = tmp_path / "input"
    (folder / "weights").mkdir(parents=True)
    shutil.copy(weights, folder / f"weights/{BACKBONE}.pth")
    for split in embeddings.SPLITS:
        shutil.copytree(dogs / split, folder / split / "dt=2026-11-22" / split)
    monkeypatch.setattr(embed, "INPUT", folder)
    monkeypatch.setattr(embed, "OUTPUT", tmp_path / "output")
    monkeypatch.setattr(embed, "CLUSTER", tmp_path / "resourceconfig.json")
    return folder


def run(*arguments: str, host: str = "algo-1") -> dict[str, Any]:
    embed.main(["--backbone", BACKBONE, *arguments])
    report: dict[str, Any] = json.loads((embed.OUTPUT / f"report-{host}.json").read_text())
    return report


def run_as(host: str, photos: list[Path]) -> None:
    """Runs as one of two instances, whose share of all photos these are."""
    embed.CLUSTER.write_text(json.dumps({"current_host": host, "hosts": ["algo-1", "algo-2"]}))
    share = embed.INPUT.with_name(host)
    for photo in photos:
        target = share / photo.relative_to(embed.INPUT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, target)
    shutil.copytree(embed.INPUT / "weights", share / "weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embed, "INPUT", share)
        run("--views", "2", host=host)


def arrays(split: str, host: str = "algo-1") -> dict[str, Any]:
    with np.load(embed.OUTPUT / split / f"{host}.npz") as file:
        return dict(file)


def photos_of(given: Path, split: str) -> list[Path]:
    return sorted((given / split).rglob("*.jpg"))


def test_writes_vectors_names_and_classes(given: Path) -> None:
    report = run("--views", "3")
    assert report.pop("seconds") > 0
    assert report == {
        "photos": {"train": 12, "valid": 4, "test": 4},
        "unreadable": [],
        "max_unreadable_share": 0.02,
        "features": 1280,
    }
    for split, photos, views in (("train", 12, 3), ("valid", 4, 1), ("test", 4, 1)):
        written = arrays(split)
        assert written["features"].shape == (photos, views, 1280)
        assert written["features"].dtype == np.float32
        names = [path.relative_to(given / split).as_posix() for path in photos_of(given, split)]
        assert written["photos"].tolist() == names
        assert written["class_names"].tolist() == [name.split("/")[-2] for name in names]
        assert np.isfinite(written["features"]).all()


def test_two_instances_make_the_embeddings_of_one(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("--views", "2")
    alone = embed.OUTPUT
    monkeypatch.setattr(embed, "OUTPUT", alone.with_name("output of two"))
    for host, first in (("algo-1", 0), ("algo-2", 1)):
        run_as(host, [path for split in embeddings.SPLITS for path in photos_of(given, split)[first::2]])
    assert embeddings.classes_of(embed.OUTPUT) == embeddings.classes_of(alone)
    for split in embeddings.SPLITS:
        one, two = (embeddings.read_photos(folder, split) for folder in (alone, embed.OUTPUT))
        assert two.names.tolist() == one.names.tolist()
        assert two.class_names.tolist() == one.class_names.tolist()
        one_, two_ = (embeddings.read_features(folder, split, one.names) for folder in (alone, embed.OUTPUT))
        # Others in the batch may change the last bits, which in bfloat16 are far to the front.
        np.testing.assert_allclose(two_, one_, atol=1e-2)


def test_an_instance_without_photos_adds_none(given: Path) -> None:
    run_as("algo-1", [path for split in embeddings.SPLITS for path in photos_of(given, split)])
    run_as("algo-2", [])
    assert arrays("train", "algo-2")["features"].shape == (0, 2, 1280)
    names = embeddings.read_photos(embed.OUTPUT, "train").names
    assert names.tolist() == arrays("train")["photos"].tolist()
    assert (embeddings.read_features(embed.OUTPUT, "train", names) == arrays("train")["features"]).all()


def test_an_instance_with_a_part_of_the_classes_leaves_the_judgement_to_the_training(given: Path) -> None:
    broken, *photos = photos_of(given, "train")[:3]
    broken.write_bytes(b"")
    run_as("algo-1", [broken, *photos])
    with pytest.raises(JobError, match=r"^1 of 3 photos cannot be read"):
        embeddings.classes_of(embed.OUTPUT)


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
        run("--views", "8", "--max_unreadable_share", "0.05")


def test_fails_when_a_class_loses_its_only_readable_photos(given: Path) -> None:
    for photo in photos_of(given, "train")[:3]:
        photo.write_bytes(b"")
    with pytest.raises(JobError, match=r"^001\.Dachshund: photos in the valid split but none to train with"):
        run("--views", "1", "--max_unreadable_share", "0.5")


def test_fails_without_weights(given: Path) -> None:
    (given / f"weights/{BACKBONE}.pth").unlink()
    with pytest.raises(JobError, match=r"efficientnet_lite0\.pth is missing"):
        run()


# Embeds one photo under many names, by a network that takes no time, and prints by how many bytes the process grew.
GROWTH = """
import re, sys
from pathlib import Path
import numpy as np
import torch
from dataset import Photo
from embed import Embedder

class Network:
    side, width = 256, 1280

    def features(self, crops):
        pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float().bfloat16()
        return pixels.mean((1, 2, 3)).float()[:, None].expand(-1, self.width).contiguous()

def peak(photos):
    Embedder(Network(), 0, photos).embed([Photo(Path(sys.argv[1]), str(n), "001.Pug") for n in range(photos)], 4)
    # not from getrusage, whose figure starts with that of the process that started this one
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

print(peak(50), peak(350))
"""


def test_memory_does_not_grow_with_the_photos_pixels(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    Image.effect_noise((280, 280), 80).convert("RGB").save(photo)
    environment = {**os.environ, "PYTHONPATH": str(Path(embed.__file__).parent)}
    done = subprocess.run([sys.executable, "-c", GROWTH, photo], env=environment, capture_output=True, check=True)
    few, many = map(int, done.stdout.split())
    assert many - few < 300 * 4 * 256 * 256 * 3 / 2  # half of what the crops take
