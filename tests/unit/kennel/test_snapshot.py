import datetime

import pytest

from kennel.snapshot import Photo, SnapshotError, choose

DAY = datetime.date(2026, 11, 22)


def photos(*keys: str) -> list[Photo]:
    """Photos whose content is their key."""
    return [Photo(key, f"etag of {key}") for key in keys]


SIX = photos(
    *(
        f"dt=2026-11-01/{split}/{breed}/1.jpg"
        for split in ("train", "valid", "test")
        for breed in ("001.Pug", "002.Boxer")
    )
)


def test_lists_each_split_in_order() -> None:
    chosen = choose(reversed(SIX), DAY)
    assert chosen.keys["valid"] == ["dt=2026-11-01/valid/001.Pug/1.jpg", "dt=2026-11-01/valid/002.Boxer/1.jpg"]
    assert chosen.classes == ["001.Pug", "002.Boxer"]


def test_photos_after_the_cutoff_are_not_known_yet() -> None:
    later = photos("dt=2026-11-23/train/001.Pug/2.jpg")
    assert choose(SIX + later, DAY) == choose(SIX, DAY)
    assert len(choose(SIX + later, datetime.date(2026, 11, 23)).keys["train"]) == 3


def test_the_same_photos_have_the_same_version_and_others_another() -> None:
    assert choose(reversed(SIX), DAY).version == choose(SIX, DAY + datetime.timedelta(days=9)).version
    changed = [Photo(SIX[0].key, "other content"), *SIX[1:]]
    assert choose(changed, DAY).version != choose(SIX, DAY).version


def test_the_same_photos_pushed_again_on_another_day_change_nothing() -> None:
    again = [Photo(photo.key.replace("2026-11-01", "2026-11-15"), photo.etag) for photo in SIX]
    chosen = choose(SIX + again, DAY)
    assert chosen.version == choose(SIX, DAY).version
    assert chosen.duplicates == 6


@pytest.mark.parametrize(("splits", "kept"), [(("train", "valid"), "valid"), (("train", "valid", "test"), "test")])
def test_a_photo_in_several_splits_is_kept_in_the_one_it_is_judged_by(splits: tuple[str, ...], kept: str) -> None:
    same = [Photo(f"dt=2026-11-01/{split}/001.Pug/same.jpg", "same") for split in splits]
    chosen = choose(SIX + same, DAY)
    where = [split for split, keys in chosen.keys.items() if any(key.endswith("same.jpg") for key in keys)]
    assert where == [kept]
    assert chosen.duplicates == len(splits) - 1


def test_other_objects_are_left_out() -> None:
    others = photos(
        "dt=2026-11-01/train/001.Pug/notes.txt",
        "README.md",
        "dt=2026-11-01/train/deep/er/1.jpg",
        "dt=2026-11-01/Train/x/1.jpg",
    )
    assert choose(SIX + others, DAY) == choose(SIX, DAY)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "no photos up to 2026-11-22 in test, valid, train"),
        (SIX[:4], "in test"),
        (SIX + photos("dt=2026-02-30/train/001.Pug/1.jpg"), "no such date"),
        ([photo for photo in SIX if "Pug" in photo.key], "all photos are of one class, 001.Pug"),
        (SIX + photos("dt=2026-11-01/test/003.Beagle/1.jpg"), "no training photos of 003.Beagle"),
    ],
)
def test_too_few_photos_say_what_is_missing(given: list[Photo], message: str) -> None:
    with pytest.raises(SnapshotError, match=message):
        choose(given, DAY)
