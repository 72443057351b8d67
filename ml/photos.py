"""Reading photos: from the bytes of a JPEG, PNG, GIF or WebP to the square crop a backbone sees."""

import contextlib
import io
import re
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

Crop = NDArray[np.uint8]  # (side, side, 3), RGB
Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels

FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
MAX_PIXELS = 64_000_000  # more than most cameras have; decoded, 256 MB
MAX_SIDE = 65_535  # the most a JPEG can have; each row, however short, takes memory of its own
MAX_SCANNED = 3_000_000_000  # pixels, over all scans of a JPEG: cameras write ten, and each is a pass over the whole
TOO_LARGE = f"it has more than {MAX_PIXELS:,} pixels, or a side of more than {MAX_SIDE:,}"
# What stands before a part of a JPEG that tells its length: anything but stuffing, restarts and the start of the file.
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
# What Pillow raises on broken files, TypeError where their EXIF or XMP is.
BROKEN = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error, zlib.error)
# What turns a photo upright, by its EXIF orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadablePhotoError(Exception):
    """The bytes are no photo that can be used; the message says why."""


def read_photo(data: bytes, side: int) -> Image.Image:
    """The photo upright (by its EXIF orientation) and in RGB; on white where it is transparent.

    Of an animation it is the first frame. A large JPEG is decoded at a fraction of its size, its shorter side still at
    least twice `side` pixels. Raises UnreadablePhotoError.
    """
    try:
        image: Any = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
            raise UnreadablePhotoError(TOO_LARGE)
        if image.format in {"JPEG", "MPO"} and image.width * image.height * scans(data) > MAX_SCANNED:
            raise UnreadablePhotoError("it has more scans than photos have")
        image.draft("RGB", (2 * side, 2 * side))
        image.load()
        rgb, turn = _rgb(image), _turn(image)
        return rgb if turn is None else rgb.transpose(turn)
    except UnidentifiedImageError:
        raise UnreadablePhotoError("not a JPEG, PNG, GIF or WebP image") from None
    except Image.DecompressionBombError:
        raise UnreadablePhotoError(TOO_LARGE) from None
    except BROKEN as error:
        raise UnreadablePhotoError(f"broken image: {error}") from error


def scans(jpeg: bytes) -> int:
    """How many scans the first picture of a JPEG has; what follows it, a phone's film say, does not count."""
    count = position = 0
    while (found := MARKER.search(jpeg, position)) and found[0] != END_OF_IMAGE:
        count += found[0] == START_OF_SCAN
        position = found.end() + int.from_bytes(jpeg[found.end() : found.end() + 2], "big")
    return count


def _turn(image: Any) -> Image.Transpose | None:
    with contextlib.suppress(*BROKEN):  # broken EXIF does not break the photo
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    return None


def _rgb(image: Any) -> Image.Image:
    if isinstance(image.info.get("transparency"), str):  # a text in a PNG that has this name
        del image.info["transparency"]
    if image.mode.startswith("I"):  # 16 bits of grey, which convert() would not scale but clip
        grey = np.asarray(image)
        grey = np.where(grey == image.info.get("transparency"), 0xFFFF, grey)
        image = Image.fromarray((grey >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    rgb: Image.Image = image.convert("RGB")
    return rgb


def crop(image: Image.Image, box: Box, side: int) -> Crop:
    """The part of the photo in `box`, resized to `side` x `side` pixels."""
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=box))


def centre_crop(image: Image.Image, side: int) -> Crop:
    """The largest centred square, resized to `side` x `side` pixels."""
    left, top = max(0, image.width - image.height) / 2, max(0, image.height - image.width) / 2
    return crop(image, (left, top, image.width - left, image.height - top), side)
