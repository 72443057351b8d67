"""A second demo in the same `.kennel/`, on real photos."""

import os
from pathlib import Path
from typing import Any

import pytest

PHOTOS = os.environ.get("KENNEL_PHOTOS")
pytestmark = pytest.mark.skipif(not PHOTOS, reason="KENNEL_PHOTOS is not set")


def test_real_photos_take_the_place_of_the_drawn_ones_and_are_told_apart(kennel: Any, demo: dict[str, Any]) -> None:
    assert PHOTOS
    report = kennel.demo("--data", PHOTOS)
    assert report["model"]["classes"] == len([*Path(PHOTOS, "train").iterdir()])
    assert report["model"]["top1"] >= 0.8
    assert report["prediction"]["label"] == report["prediction"]["expected"]
    assert report["deploy"]["state"] == "success"
    assert report["endpoint"]["config"] != demo["endpoint"]["config"]
    version = int(report["model"]["package_arn"].rsplit("/", 1)[1])
    assert version > int(demo["model"]["package_arn"].rsplit("/", 1)[1])


def test_the_drawn_photos_do_not_come_back_by_themselves(kennel: Any, demo: dict[str, Any]) -> None:
    before = kennel.run("data", "list").stdout
    done = kennel.run("demo")
    assert done.returncode == 2
    assert "photos of yours are there" in done.stderr
    assert done.stderr.count("\n") == 1
    assert kennel.run("data", "list").stdout == before
