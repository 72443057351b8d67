from pathlib import Path

import numpy as np
import pytest

import embeddings
from dataset import Photo
from embeddings import classes_of, read_features, read_photos
from job import JobError

CLASSES = {"a.jpg": "001.Pug", "b.jpg": "002.Poodle", "c.jpg": "001.Pug", "d.jpg": "003.Beagle"}


def write(folder: Path, split: str, host: str, *names: str) -> None:
    """Features (photos, 2, 3), each photo's all the code of its name's letter."""
    photos = [Photo(Path(name), name, CLASSES[name]) for name in names]
    features = np.array([ord(name[0]) for name in names], np.float32).reshape(-1, 1, 1)
    embeddings.write(folder, split, host, photos, np.broadcast_to(features, (len(names), 2, 3)))


def write_all(folder: Path, train: tuple[str, ...], others: tuple[str, ...] = ("a.jpg",)) -> None:
    write(folder, "train", "algo-1", *train)
    for split in ("valid", "test"):
        write(folder, split, "algo-1", *others)


def report(folder: Path, host: str, *unreadable: str) -> None:
    embeddings.write_report(folder, host, {"unreadable": unreadable, "max_unreadable_share": 0.2})


def test_the_photos_of_all_instances_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path, "train", "algo-2", "a.jpg", "d.jpg")
    write(tmp_path, "train", "algo-1", "b.jpg", "c.jpg")
    write(tmp_path, "train", "algo-3")
    photos = read_photos(tmp_path, "train")
    assert dict(zip(photos.names.tolist(), photos.class_names.tolist(), strict=True)) == CLASSES
    features = read_features(tmp_path, "train", photos.names)
    assert features.shape == (4, 2, 3)
    assert features.dtype == np.float32
    assert features[:, 1, 2].tolist() == [ord(letter) for letter in "abcd"]


def test_a_photo_that_an_earlier_attempt_left_too_counts_once(tmp_path: Path) -> None:
    write(tmp_path, "train", "algo-1", "a.jpg", "b.jpg", "c.jpg")
    write(tmp_path, "train", "algo-2", "b.jpg")
    photos = read_photos(tmp_path, "train")
    assert photos.names.tolist() == ["a.jpg", "b.jpg", "c.jpg"]
    assert read_features(tmp_path, "train", photos.names)[:, 0, 0].tolist() == [ord(letter) for letter in "abc"]


def test_the_classes_are_those_with_training_photos(tmp_path: Path) -> None:
    write_all(tmp_path, ("b.jpg", "a.jpg", "c.jpg"))
    assert classes_of(tmp_path) == ["001.Pug", "002.Poodle"]


def test_the_unreadable_photos_of_all_instances_are_judged_together(tmp_path: Path) -> None:
    write_all(tmp_path, ("a.jpg", "b.jpg", "c.jpg", "d.jpg"))
    report(tmp_path, "algo-1", "e.jpg")
    report(tmp_path, "algo-2")
    assert len(classes_of(tmp_path)) == 3
    report(tmp_path, "algo-2", "f.jpg")
    with pytest.raises(
        JobError,
        match=r"^2 of 8 photos cannot be read, more than --max_unreadable_share 0.2 allows; "
        r"replace or remove them: e.jpg, f.jpg$",
    ):
        classes_of(tmp_path)


def test_one_class_is_refused(tmp_path: Path) -> None:
    write_all(tmp_path, ("a.jpg", "c.jpg"))
    with pytest.raises(
        JobError, match=r"^only one class has training photos, 001\.Pug: a classifier needs two or more$"
    ):
        classes_of(tmp_path)


def test_a_class_without_training_photos_is_refused(tmp_path: Path) -> None:
    write_all(tmp_path, ("a.jpg", "b.jpg"), ("a.jpg", "d.jpg"))
    with pytest.raises(
        JobError, match=r"^003\.Beagle: photos in the valid split but none to train with; add some there$"
    ):
        classes_of(tmp_path)


@pytest.mark.parametrize("split", embeddings.SPLITS)
def test_an_empty_split_is_refused(tmp_path: Path, split: str) -> None:
    write_all(tmp_path, ("a.jpg", "b.jpg"))
    write(tmp_path, split, "algo-1")
    with pytest.raises(JobError, match=rf"^no photo in the {split} split: add some under {split}/NNN\.Breed/"):
        classes_of(tmp_path)


def test_a_missing_split_is_told_by_its_folder(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"train has no vectors: the embeddings channel must hold what embed\.py wrote$"):
        classes_of(tmp_path)
