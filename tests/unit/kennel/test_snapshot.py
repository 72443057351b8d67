import datetime
import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from kennel.config import Classifier
from kennel.names import Names
from kennel.snapshot import SPLITS, Photo, Snapshot, SnapshotError, choose, listed, write

DAY = datetime.date(2026, 11, 22)


def photos(*keys: str) -> list[Photo]:
    """Photos whose content is their key."""
    return [Photo(key, f"etag of {key}", 1) for key in keys]


SIX = photos(
    *(
        f"dt=2026-11-01/{split}/{breed}/1.jpg"
        for split in ("train", "valid", "test")
        for breed in ("001.Pug", "002.Boxer")
    )
)


def keys(snapshot: Snapshot) -> dict[str, list[str]]:
    return {split: list(snapshot.keys(split)) for split in SPLITS}


def test_lists_each_split_in_order() -> None:
    chosen = choose(reversed(SIX), DAY)
    assert keys(chosen)["valid"] == ["dt=2026-11-01/valid/001.Pug/1.jpg", "dt=2026-11-01/valid/002.Boxer/1.jpg"]
    assert chosen.photos == {"test": 2, "valid": 2, "train": 2}
    assert chosen.classes == ["001.Pug", "002.Boxer"]


def test_photos_after_the_cutoff_are_not_known_yet() -> None:
    later = photos("dt=2026-11-23/train/001.Pug/2.jpg", "dt=2026-11-23/train/Pug/3.jpg")
    chosen = choose(SIX + later, DAY)
    assert (chosen, keys(chosen)) == (choose(SIX, DAY), keys(choose(SIX, DAY)))
    next_day = choose(SIX + later[:1], datetime.date(2026, 11, 23))
    assert len(keys(next_day)["train"]) == 3
    assert next_day.days == {"2026-11-01": 6, "2026-11-23": 1}


def test_the_version_is_a_hash_over_sorted_keys_and_contents() -> None:
    lines = sorted(f"{photo.key} {photo.etag}\n" for photo in SIX)
    assert choose(SIX, DAY).version == hashlib.sha256("".join(lines).encode()).hexdigest()[:12]


def test_the_same_photos_have_the_same_version_and_others_another() -> None:
    assert choose(reversed(SIX), DAY).version == choose(SIX, DAY + datetime.timedelta(days=9)).version
    changed = [Photo(SIX[0].key, "other content", 1), *SIX[1:]]
    assert choose(changed, DAY).version != choose(SIX, DAY).version


def test_the_same_photos_pushed_again_on_another_day_change_nothing() -> None:
    again = [photo._replace(key=photo.key.replace("2026-11-01", "2026-11-15")) for photo in SIX]
    chosen = choose(SIX + again, DAY)
    assert chosen.version == choose(SIX, DAY).version
    assert chosen.duplicates == 6


@pytest.mark.parametrize(("splits", "kept"), [(("train", "valid"), "valid"), (("train", "valid", "test"), "test")])
def test_a_photo_in_several_splits_is_kept_in_the_one_it_is_judged_by(splits: tuple[str, ...], kept: str) -> None:
    same = [Photo(f"dt=2026-11-01/{split}/001.Pug/same.jpg", "same", 1) for split in splits]
    chosen = choose(SIX + same, DAY)
    where = [split for split, found in keys(chosen).items() if any(key.endswith("same.jpg") for key in found)]
    assert where == [kept]
    assert chosen.duplicates == len(splits) - 1


def test_other_objects_are_left_out() -> None:
    others = photos(
        "dt=2026-11-01/train/001.Pug/notes.txt",
        "README.md",
        "dt=2026-11-01/train/deep/er/1.jpg",
        "dt=2026-11-01/train/no_class.jpg",
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
        (
            SIX + photos("dt=2026-11-02/train/003.Boxer/1.jpg"),
            "Boxer is 002.Boxer and 003.Boxer: put all of",
        ),
        (SIX + photos("dt=2026-11-01/train/Pug/1.jpg"), "dt=2026-11-01/train/Pug/1.jpg: Pug is not a class's name"),
        (SIX + photos("dt=2026-11-01/train/../1.jpg"), "'dt=2026-11-01/train/../1.jpg' is not a safe key"),
        (SIX + photos("../../etc/passwd"), "'../../etc/passwd' is not a safe key"),
        (SIX + photos("dt=2026-11-01/train/001.Pug/a\nb.jpg"), r"001.Pug/a\\nb.jpg' is not a safe key"),
        (SIX + photos("dt=2026-11-01/train/001.P\x1b[31mug/a.jpg"), r"001.P\\x1b\[31mug/a.jpg' is not a safe key"),
        (SIX + photos("dt=2026-11-01/train/001.Pug/a\0.jpg"), r"001.Pug/a\\x00.jpg' is not a safe key"),
        (SIX + photos("dt=2026-11-01/train/001.Pug/a\u202egpj.exe.jpg"), r"a\\u202egpj.exe.jpg' is not a safe key"),
        (SIX + photos("dt=2026-11-01/train/001.Pug/a\u200b.jpg"), r"a\\u200b.jpg' is not a safe key"),
        (SIX + photos("dt=2026-11-01/train/001.Pug/./a.jpg"), "'dt=2026-11-01/train/001.Pug/./a.jpg' is not a safe"),
        (SIX + photos("/etc/passwd"), "'/etc/passwd' is not a safe key"),
        (SIX + photos("dt=2026-11-01/train//a.jpg"), "'dt=2026-11-01/train//a.jpg' is not a safe key"),
        (SIX + photos(f"dt=2026-11-01/train/001.Pug/{'a' * 252}.jpg"), r"aaa\.jpg' is not a safe key"),
        (SIX + photos("dt=2026-11-01/train/001.Pug/" + "\u4e00" * 84 + ".jpg"), r"\u4e00\.jpg' is not a safe key"),
        (SIX + photos(f"dt=2026-11-01/train/001.Pug/{'a/' * 500}a.jpg"), r"a/a\.jpg' is not a safe key"),
        (SIX + photos("dt=2026-11-01/train/; rm -rf/a.jpg"), "train/; rm -rf/a.jpg: ; rm -rf is not a class's name"),
        (SIX + photos("dt=2026-11-01/train/001.;rm${IFS}-rf/a.jpg"), r"001.;rm\$\{IFS\}-rf is not a class's name"),
        (SIX + photos("dt=2026-11-01/train/001.$(id)/a.jpg"), r"001\.\$\(id\) is not a class's name"),
        (SIX + photos("dt=2026-11-01/train/001.<b>Pug/a.jpg"), "001.<b>Pug is not a class's name"),
        (SIX + photos("dt=2026-11-01/train/001.-rf/a.jpg"), "001.-rf is not a class's name"),
        (SIX + photos("dt=2026-11-01/train/001./a.jpg"), "train/001./a.jpg: 001. is not a class's name"),
        (SIX + photos("dt=2026-11-01/train/ /a.jpg"), "train/ /a.jpg:   is not a class's name"),
        (
            SIX + photos("dt=2026-11-01/train/\uff10\uff10\uff11.Pug/a.jpg"),
            "\uff10\uff10\uff11.Pug is not a class's name",
        ),
        (SIX + photos("dt=2026-11-01/train/001.\uff30ug/a.jpg"), "001.\uff30ug is not a class's name"),
        (SIX + photos("dt=2026-11-01/train/001.Cafe\u0301/a.jpg"), "001.Cafe\u0301 is not a class's name"),
    ],
)
def test_photos_that_cannot_be_trained_on_are_refused_by_name(given: list[Photo], message: str) -> None:
    with pytest.raises(SnapshotError, match=message) as refusal:
        choose(given, DAY)
    assert "\n" not in str(refusal.value)


def test_the_keys_of_other_objects_may_be_as_long_as_s3_allows() -> None:
    assert choose(SIX + photos(f"notes/{'a' * 250}/{'b' * 250}/{'c' * 250}/"), DAY) == choose(SIX, DAY)


def test_names_of_other_languages_are_classes() -> None:
    others = [
        photo._replace(key=photo.key.replace("002.Boxer", "002.Gro\xdfer_M\xfcnsterl\xe4nder-2.0")) for photo in SIX
    ]
    assert choose(others, DAY).classes == ["001.Pug", "002.Gro\xdfer_M\xfcnsterl\xe4nder-2.0"]


def test_a_hundred_thousand_classes_are_refused_at_the_first_too_many() -> None:
    def keys_of(split: str, count: int) -> Iterator[Photo]:
        return (Photo(f"dt=2026-11-01/{split}/001.Breed_{n}/1.jpg", f"{split} {n}", 1) for n in range(count))

    most = [photo for split in SPLITS for photo in keys_of(split, 1000)]
    assert len(choose(most, DAY).classes) == 1000
    message = r"^dt=2026-11-01/train/001.Breed_1000/1.jpg: one class more than the 1,000 that a classifier can have$"
    with pytest.raises(SnapshotError, match=message):
        choose(keys_of("train", 100_000), DAY)


def test_manifests_and_a_summary_are_written_and_read_back(local_aws: Any, dogs: Classifier) -> None:
    names, s3 = Names.of(dogs), local_aws.client("s3")
    s3.create_bucket(Bucket=names.bucket)
    odd = 'dt=2026-11-02/train/001.Pug/Größe "1" & 2+3%.jpg'
    for key in [*(photo.key for photo in SIX), odd]:
        s3.put_object(Bucket=names.bucket, Key=names.datasets + key, Body=key.encode())
    chosen = choose(listed(s3, names), DAY)
    write(s3, names, chosen)

    def read(name: str) -> Any:
        return json.load(io.TextIOWrapper(s3.get_object(Bucket=names.bucket, Key=f"{prefix}{name}")["Body"]))

    prefix = names.snapshot(chosen.version)
    manifest = [{"prefix": f"s3://{names.bucket}/datasets/dogs/"}, *keys(chosen)["train"]]
    assert read("train.manifest") == manifest
    assert odd in manifest
    assert read("summary.json") == {
        "version": chosen.version,
        "photos": {"test": 2, "valid": 2, "train": 3},
        "classes": 2,
        "duplicates": 0,
        "days": {"first": "2026-11-01", "last": "2026-11-02", "count": 2},
        "class_names": ["001.Pug", "002.Boxer"],
        "photos_by_day": {"2026-11-01": 6, "2026-11-02": 1},
    }


def test_a_manifest_that_somebody_has_poisoned_is_written_anew(local_aws: Any, dogs: Classifier) -> None:
    names, s3 = Names.of(dogs), local_aws.client("s3")
    chosen = choose(SIX, DAY)
    key = f"{names.snapshot(chosen.version)}train.manifest"
    s3.create_bucket(Bucket=names.bucket)
    s3.put_object(Bucket=names.bucket, Key=key, Body=b'[{"prefix": "s3://elsewhere/"}, "../../etc/passwd"]')
    write(s3, names, chosen)
    root, *listed = json.loads(s3.get_object(Bucket=names.bucket, Key=key)["Body"].read())
    assert (root["prefix"], listed) == (f"s3://{names.bucket}/datasets/dogs/", keys(chosen)["train"])
