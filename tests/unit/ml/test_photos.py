import io

import numpy as np
import pytest
from PIL import Image

import photos
from photos import UnreadablePhotoError, centre_crop, read_photo


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def half_red(width: int, height: int) -> Image.Image:
    """Red above, blue below."""
    image = Image.new("RGB", (width, height), "blue")
    image.paste("red", (0, 0, width, height // 2))
    return image


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_reads_the_formats_of_the_contract(kind: str) -> None:
    image = read_photo(encoded(half_red(60, 40), kind), 224)
    assert (image.mode, image.size) == ("RGB", (60, 40))


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "I;16"])
def test_reads_every_kind_of_png_as_rgb(mode: str) -> None:
    assert read_photo(encoded(Image.new(mode, (20, 10)), "PNG"), 224).mode == "RGB"


def test_reads_a_printers_jpeg_as_rgb() -> None:
    assert read_photo(encoded(Image.new("CMYK", (20, 10)), "JPEG"), 224).mode == "RGB"


def test_turns_a_photo_upright() -> None:
    turned = Image.Exif()
    turned[0x0112] = 3  # taken upside down
    image = read_photo(encoded(half_red(64, 64), "JPEG", exif=turned), 224)
    assert image.getpixel((32, 60)) == pytest.approx((254, 0, 0), abs=4)


def test_decodes_a_large_jpeg_at_a_fraction_that_is_still_large_enough() -> None:
    image = read_photo(encoded(half_red(4000, 3000), "JPEG"), 224)
    assert image.size == (1000, 750)


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff\xe0 nothing more", b"\x89PNG\r\n\x1a\n"])
def test_refuses_what_is_no_photo(data: bytes) -> None:
    with pytest.raises(UnreadablePhotoError, match=r"not a JPEG or PNG image|broken image"):
        read_photo(data, 224)


def test_refuses_other_formats() -> None:
    with pytest.raises(UnreadablePhotoError, match="not a JPEG or PNG"):
        read_photo(encoded(half_red(20, 20), "GIF"), 224)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_refuses_a_photo_cut_short(kind: str, noise: np.random.Generator) -> None:
    pixels = noise.integers(0, 256, (80, 80, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(pixels), kind)
    with pytest.raises(UnreadablePhotoError, match="broken image"):
        read_photo(data[: len(data) // 2], 224)


def test_refuses_a_decompression_bomb_before_decoding_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MAX_PIXELS", 10_000)
    with pytest.raises(UnreadablePhotoError, match="200 x 100 pixels are more than 10,000"):
        read_photo(encoded(half_red(200, 100), "PNG"), 224)


def test_broken_bytes_raise_nothing_else(noise: np.random.Generator) -> None:
    sources = [encoded(half_red(48, 48), kind) for kind in ("JPEG", "PNG")]
    for _ in range(600):
        data = bytearray(sources[noise.integers(2)])
        for place in noise.integers(0, len(data), 3):
            data[place] = noise.integers(256)
        try:
            assert read_photo(bytes(data), 224).mode == "RGB"
        except UnreadablePhotoError:
            continue


def test_crops_the_middle_of_wide_and_tall_photos() -> None:
    for size, middle in (((300, 100), (100, 0, 200, 100)), ((100, 300), (0, 100, 100, 200))):
        image = Image.new("RGB", size, "white")
        image.paste("black", middle)
        crop = centre_crop(image, 50)
        assert crop.shape == (50, 50, 3)
        assert crop[2:-2, 2:-2].max() == 0, "white from beside the middle"
