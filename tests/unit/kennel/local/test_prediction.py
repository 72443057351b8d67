import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from kennel.local import prediction
from kennel.local.errors import KennelError


def test_an_address_is_the_functions_to_fetch() -> None:
    assert prediction.event("https://example.com/dog.jpg") == {"url": "https://example.com/dog.jpg"}


@pytest.mark.parametrize("name", ["dog.jpg", "dog.png", "dog.gif", "dog.webp"])
def test_a_file_is_sent_as_it_is(tmp_path: Path, name: str) -> None:
    photo = tmp_path / name
    Image.new("RGB", (40, 30), "brown").save(photo)
    assert base64.b64decode(prediction.event(str(photo))["image"]) == photo.read_bytes()


def test_a_file_too_large_for_an_event_is_sent_smaller(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = tmp_path / "dog.png"
    Image.effect_noise((3000, 2000), 80).save(photo)
    assert photo.stat().st_size > prediction.LARGEST_PHOTO_BYTES
    image = base64.b64decode(prediction.event(str(photo))["image"])
    assert len(image) < prediction.LARGEST_PHOTO_BYTES
    assert Image.open(io.BytesIO(image)).size == (1600, 1067)
    assert capsys.readouterr().err.startswith("dog.png is too large for an event")


def test_a_smaller_copy_of_a_file_is_as_much_turned_and_as_transparent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "LARGEST_PHOTO_BYTES", 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGBA", (40, 30), (250, 0, 0, 100)).save(tmp_path / "dog.png", exif=exif)
    copy = Image.open(io.BytesIO(base64.b64decode(prediction.event(str(tmp_path / "dog.png"))["image"])))
    assert copy.getexif()[0x0112] == 6
    assert copy.getpixel((20, 15)) == pytest.approx((250, 0, 0, 100), abs=4)


@pytest.mark.parametrize("content", [b"<html>", b""])
def test_what_is_no_photo_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dog.jpg").write_bytes(content)
    with pytest.raises(KennelError, match=r"dog\.jpg is not a readable JPEG, PNG, GIF or WebP image"):
        prediction.event(str(tmp_path / "dog.jpg"))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(KennelError, match=r"There is no file no/dog\.jpg"):
        prediction.event("no/dog.jpg")
