import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import photos
from photos import UnreadablePhotoError, centre_crop, read_photo
from tests.ml.claims import claims
from tests.ml.conftest import ML
from tests.ml.pictures import Twins, encoded, lossless, lossy, png, scanned, turned

SPECK = Image.new("RGB", (8, 8))
KINDS = ["JPEG", "PNG", "GIF", "WEBP"]
# Prints why the photo on standard input is refused, and how many megabytes that took once Pillow had its modules.
READS = """
import re, sys
from photos import UnreadablePhotoError, read_photo

def most():  # not from getrusage: its figure starts with that of the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024

try: read_photo(b"RIFF    WEBP", 224)
except UnreadablePhotoError: before = most()
try: read_photo(sys.stdin.buffer.read(), 224)
except UnreadablePhotoError as error: print(error, most() - before, sep="\\n")
"""


def half_red(width: int, height: int) -> Image.Image:
    """Red above, blue below."""
    image = Image.new("RGB", (width, height), "blue")
    image.paste("red", (0, 0, width, height // 2))
    return image


@pytest.mark.parametrize("kind", KINDS)
def test_reads_the_formats_of_the_contract(kind: str) -> None:
    image = read_photo(encoded(half_red(60, 40), kind), 224)
    assert (image.mode, image.size) == ("RGB", (60, 40))


@pytest.mark.parametrize("name", lossless(SPECK))
def test_sees_in_a_file_without_loss_exactly_what_is_in_a_plain_one(twins: Twins, name: str) -> None:
    seen, plain = (centre_crop(read_photo(data, 224), 224) for data in twins[name])
    assert np.array_equal(seen, plain)


@pytest.mark.parametrize("name", lossy(SPECK))
def test_sees_in_a_file_with_loss_nearly_what_is_in_a_plain_one(twins: Twins, name: str) -> None:
    seen, plain = (centre_crop(read_photo(data, 224), 224).astype(float) for data in twins[name])
    assert np.abs(seen - plain).mean() < 1.5


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("exif", [b"no EXIF", b"MM\0*\0\0\0\x08\0\1", b"MM\0*\xff\xff\xff\xff"])
def test_takes_a_photo_with_broken_exif_as_it_lies(exif: bytes) -> None:
    assert read_photo(encoded(half_red(60, 40), "WEBP", exif=exif), 224).size == (60, 40)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "I;16", "RGBA"])
@pytest.mark.parametrize("name", ["transparency", "exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"])
def test_texts_in_a_png_do_not_break_it(mode: str, name: str) -> None:
    texts = PngInfo()
    texts.add_itxt(name, "a text")
    assert read_photo(encoded(Image.new(mode, (60, 40)), "PNG", pnginfo=texts), 224).size == (60, 40)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_reads_a_photo_whatever_its_exif_says(noise: np.random.Generator) -> None:
    source = turned(half_red(60, 40), 6, "WEBP")
    start = source.index(b"\0*\0") - 2
    for _ in range(300):
        data = bytearray(source)
        for place in noise.integers(start, len(data), 3):
            data[place] = noise.integers(256)
        assert sorted(read_photo(bytes(data), 224).size) == [40, 60]


def test_decodes_a_large_jpeg_at_a_fraction_that_is_still_large_enough() -> None:
    image = read_photo(encoded(half_red(4000, 3000), "JPEG"), 224)
    assert image.size == (1000, 750)


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff\xe0 nothing more", b"\x89PNG\r\n\x1a\n"])
def test_refuses_what_is_no_photo(data: bytes) -> None:
    with pytest.raises(UnreadablePhotoError, match=r"not a JPEG, PNG, GIF or WebP image|broken image"):
        read_photo(data, 224)


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "AVIF", "JPEG2000", "ICO", "PPM"])
def test_refuses_other_formats(kind: str) -> None:
    with pytest.raises(UnreadablePhotoError, match="not a JPEG, PNG, GIF or WebP image"):
        read_photo(encoded(half_red(20, 20), kind), 224)


@pytest.mark.parametrize("kind", KINDS)
def test_refuses_a_photo_cut_short(kind: str, noise: np.random.Generator) -> None:
    pixels = noise.integers(0, 256, (80, 80, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(pixels), kind)
    with pytest.raises(UnreadablePhotoError, match="broken image"):
        read_photo(data[: len(data) // 2], 224)


@pytest.mark.parametrize("name", claims())
def test_refuses_200_megapixels_before_memory_is_taken_for_them(name: str) -> None:
    command = [sys.executable, "-c", READS]
    ran = subprocess.run(command, input=claims()[name], cwd=ML, capture_output=True, timeout=60, check=True)
    message, megabytes = ran.stdout.decode().splitlines()
    assert message == "it has more than 64,000,000 pixels, or a side of more than 65,535"
    assert int(megabytes) < 30


@pytest.mark.parametrize(("size", "fits"), [((100, 100), True), ((101, 100), False)])
def test_takes_exactly_the_most_pixels(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], fits: bool) -> None:
    monkeypatch.setattr(photos, "MAX_PIXELS", 10_000)
    photo = encoded(half_red(*size), "PNG")
    if fits:
        assert read_photo(photo, 224).size == size
    else:
        with pytest.raises(UnreadablePhotoError, match="it has more than"):
            read_photo(photo, 224)


@pytest.mark.parametrize("size", [(1, 65_536), (65_536, 1)])
def test_refuses_a_thread_of_pixels_that_would_take_memory_for_each_row(size: tuple[int, int]) -> None:
    width, height = size
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    with pytest.raises(UnreadablePhotoError, match="a side of more than 65,535"):
        read_photo(png(header, bytes(height * (1 + width))), 224)


def test_knows_how_many_scans_a_jpeg_has() -> None:
    film = b"\xff\xda\0\2" * 500
    plain = encoded(half_red(60, 40), "JPEG", exif=b"Exif\0\0" + film)
    progressive = scanned(half_red(60, 40), 1)
    assert (photos.scans(plain), photos.scans(plain + film)) == (1, 1)
    assert photos.scans(progressive) == progressive.count(b"\xff\xda") > 5
    assert photos.scans(scanned(half_red(60, 40), 7)) == photos.scans(progressive) + 6


@pytest.mark.parametrize(("times", "fits"), [(1, True), (90, True), (100, False)])
def test_refuses_a_jpeg_that_is_read_over_and_over(monkeypatch: pytest.MonkeyPatch, times: int, fits: bool) -> None:
    monkeypatch.setattr(photos, "MAX_SCANNED", 60 * 40 * 100)
    photo = scanned(half_red(60, 40), times)
    if fits:
        assert read_photo(photo, 224).size == (60, 40)
    else:
        with pytest.raises(UnreadablePhotoError, match="it has more scans than photos have"):
            read_photo(photo, 224)


def test_what_looks_like_scans_in_another_format_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MAX_SCANNED", 60 * 40 * 100)
    texts = PngInfo()
    texts.add_text("film", "\xff\xda" * 500)
    assert read_photo(encoded(half_red(60, 40), "PNG", pnginfo=texts), 224).size == (60, 40)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_broken_bytes_raise_nothing_else(noise: np.random.Generator) -> None:
    sources = [data for data, _ in (lossless(half_red(48, 48)) | lossy(half_red(48, 48))).values()]
    for number in range(2000):
        data = bytearray(sources[number % len(sources)])
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
