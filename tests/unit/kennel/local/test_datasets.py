import datetime
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kennel.local import datasets
from kennel.local.errors import KennelError

BREEDS = ("001.Pug", "002.Basset_hound")


def draw(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((64, 48), 20 + shade).convert("RGB").save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A good directory of two breeds, with things in it that are no photos and no matter."""
    for split in datasets.SPLITS:
        for number, breed in enumerate(BREEDS):
            draw(tmp_path / "photos" / split / breed / "a.jpg", number)
    draw(tmp_path / "photos" / "train" / BREEDS[0] / "b.PNG")
    (tmp_path / "photos" / "README.md").write_text("about")
    (tmp_path / "photos" / "train" / BREEDS[0] / ".DS_Store").write_text("")
    return tmp_path / "photos"


def test_finds_every_photo_and_class(photos: Path) -> None:
    found = datasets.check(photos)
    assert len(found.files) == 7
    assert "train/001.Pug/b.PNG" in found.files
    assert found.classes == set(BREEDS)


def empty(photos: Path) -> None:
    for file in photos.glob("*/*/*"):
        file.unlink()


def no_directory(photos: Path) -> None:
    photos.rename(photos.parent / "elsewhere")


def no_split(photos: Path) -> None:
    (photos / "valid").rename(photos.parent / "elsewhere")


def one_class(photos: Path) -> None:
    for split in datasets.SPLITS:
        (photos / split / BREEDS[1]).rename(photos.parent / split)


def class_missing_in_a_split(photos: Path) -> None:
    (photos / "test" / BREEDS[1] / "a.jpg").unlink()


def by_class_alone(photos: Path) -> None:
    for split in datasets.SPLITS:
        shutil.rmtree(photos / split)
    for breed in ("Pug", "Basset"):
        draw(photos / breed / "a.jpg")


def same_label(photos: Path) -> None:
    for split in datasets.SPLITS:
        draw(photos / split / "003.Pug" / "a.jpg", 2)


def odd_class(photos: Path) -> None:
    for split in datasets.SPLITS:
        (photos / split / BREEDS[1]).rename(photos / split / "Basset")


def odd_file(photos: Path) -> None:
    (photos / "train" / BREEDS[0] / "c.webp").write_bytes(b"RIFF")


def name_that_cannot_be_printed(photos: Path) -> None:
    draw(photos / "train" / BREEDS[0] / "a\nb.jpg")


def class_that_cannot_be_printed(photos: Path) -> None:
    for split in datasets.SPLITS:
        (photos / split / BREEDS[1]).rename(photos / split / "002.Bas\x1bset")


def class_for_a_shell(photos: Path) -> None:
    (photos / "train" / "003.;rm").mkdir()
    (photos / "train" / "; rm -rf").mkdir()


def thousand_classes(photos: Path) -> None:
    for number in range(1000):
        (photos / "train" / f"{number:03}.Breed").mkdir()


def not_an_image(photos: Path) -> None:
    (photos / "valid" / BREEDS[0] / "a.jpg").write_text("<html>Not found</html>")


def cut_short(photos: Path) -> None:
    photo = photos / "valid" / BREEDS[0] / "a.jpg"
    photo.write_bytes(photo.read_bytes()[:-400])


def two_cut_short(photos: Path) -> None:
    for split in ("test", "valid"):
        photo = photos / split / BREEDS[0] / "a.jpg"
        photo.write_bytes(photo.read_bytes()[:-400])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_directory, "photos is not a directory: give one with train/, valid/ and test/"),
        (empty, "photos has no photos: it needs train/, valid/ and test/, each of NNN.Breed/*.jpg."),
        (by_class_alone, "each of NNN.Breed/*.jpg; it has Basset, Pug."),
        (same_label, "Pug is 001.Pug and 003.Pug: put all of its photos under one number"),
        (no_split, "photos has no photos in valid/"),
        (one_class, "photos has only the class 001.Pug: there is nothing to tell apart; add a second one"),
        (class_missing_in_a_split, "test/002.Basset_hound has no photo: every class needs one"),
        (odd_class, "'Basset' is not a class's name: call the folder NNN.Breed"),
        (class_that_cannot_be_printed, r"'002.Bas\x1bset' is not a class's name: call the folder NNN.Breed"),
        (class_for_a_shell, "'003.;rm' is not a class's name: call the folder NNN.Breed (1 more like it)"),
        (thousand_classes, "photos has 1,002 classes: a classifier has 1,000 at most"),
        (name_that_cannot_be_printed, r"001.Pug/a\nb.jpg' has a name that cannot be printed: rename it"),
        (odd_file, "train/001.Pug/c.webp is neither .jpg, .jpeg nor .png"),
        (not_an_image, "valid/001.Pug/a.jpg is not a readable JPEG or PNG image"),
        (cut_short, "valid/001.Pug/a.jpg is not a readable JPEG or PNG image"),
        (two_cut_short, r"is not a readable JPEG or PNG image: replace or remove it (1 more like it)"),
    ],
)
def test_refuses_with_one_line_that_names_the_fix(photos: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(photos)
    with pytest.raises(KennelError, match=re.escape(message)) as refusal:
        datasets.check(photos)
    assert "\n" not in str(refusal.value)


def test_a_split_alone_is_told_to_be_one(photos: Path) -> None:
    with pytest.raises(KennelError, match=re.escape(f"it is one of them, so give {photos}")):
        datasets.check(photos / "train")


def push(local_aws: Any, bucket: str, photos: Path, *, mirror: bool = False) -> tuple[datasets.Pushed, int]:
    steps: list[None] = []
    checked = datasets.check(photos)
    s3 = local_aws.client("s3")
    prefix = datasets.prefix("datasets/dogs/", datetime.date(2026, 11, 1))
    pushed = datasets.push(s3, bucket, prefix, checked, mirror=mirror, advance=lambda: steps.append(None))
    return pushed, len(steps)


def stored(local_aws: Any, bucket: str) -> dict[str, str]:
    objects = local_aws.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
    return {item["Key"]: item["ETag"] for item in objects}


def test_uploads_only_what_is_new_or_changed(local_aws: Any, photos: Path) -> None:
    local_aws.client("s3").create_bucket(Bucket="push-changes")
    assert push(local_aws, "push-changes", photos) == (datasets.Pushed(uploaded=7, unchanged=0, removed=0), 7)
    before = stored(local_aws, "push-changes")
    assert "datasets/dogs/dt=2026-11-01/valid/002.Basset_hound/a.jpg" in before

    draw(photos / "train" / BREEDS[0] / "a.jpg", 60)
    draw(photos / "train" / BREEDS[0] / "new.jpg", 70)
    assert push(local_aws, "push-changes", photos)[0] == datasets.Pushed(uploaded=2, unchanged=6, removed=0)
    after = stored(local_aws, "push-changes")
    assert {key for key in after if after[key] != before.get(key)} == {
        "datasets/dogs/dt=2026-11-01/train/001.Pug/a.jpg",
        "datasets/dogs/dt=2026-11-01/train/001.Pug/new.jpg",
    }


def test_an_interrupted_push_goes_on_where_it_was(local_aws: Any, photos: Path) -> None:
    local_aws.client("s3").create_bucket(Bucket="push-interrupted")
    checked = datasets.check(photos)
    last = photos / checked.files[-1]
    content = last.read_bytes()
    last.unlink()
    prefix = datasets.prefix("datasets/dogs/", datetime.date(2026, 11, 1))
    with pytest.raises(FileNotFoundError):
        datasets.push(local_aws.client("s3"), "push-interrupted", prefix, checked, advance=lambda: None)
    last.write_bytes(content)
    assert push(local_aws, "push-interrupted", photos)[0] == datasets.Pushed(uploaded=1, unchanged=6, removed=0)


def test_a_mirror_removes_what_the_directory_has_not_and_a_plain_push_does_not(local_aws: Any, photos: Path) -> None:
    local_aws.client("s3").create_bucket(Bucket="push-mirror")
    push(local_aws, "push-mirror", photos)
    (photos / "train" / BREEDS[0] / "b.PNG").unlink()
    assert push(local_aws, "push-mirror", photos)[0].removed == 0
    assert len(stored(local_aws, "push-mirror")) == 7
    assert push(local_aws, "push-mirror", photos, mirror=True)[0].removed == 1
    assert "datasets/dogs/dt=2026-11-01/train/001.Pug/b.PNG" not in stored(local_aws, "push-mirror")
