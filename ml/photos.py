"""Reading photos: from the bytes of a JPEG or PNG to the square crop a backbone sees."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

Crop = NDArray[np.uint8]  # (side, side, 3), RGB
Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels

FORMATS = ("JPEG", "PNG")
MAX_PIXELS = 64_000_000  # above any camera's photo; a decoded one takes 200 MB


class UnreadablePhotoError(Exception):
    """The bytes are no photo that can be used; the message says why."""


def read_photo(data: bytes, side: int) -> Image.Image:
    """The photo upright (by its EXIF orientation) and in RGB.

    A large JPEG is decoded at a fraction of its size, its shorter side still at least twice `side` pixels.
    Raises UnreadablePhotoError.
    """
    try:
        image: Any = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise UnreadablePhotoError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS:,}")
        image.draft("RGB", (2 * side, 2 * side))
        return ImageOps.exif_transpose(image).convert("RGB")
    except UnidentifiedImageError:
        raise UnreadablePhotoError("not a JPEG or PNG image") from None
    # what Pillow's decoders raise on broken files
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise UnreadablePhotoError(f"broken image: {error}") from error


def crop(image: Image.Image, box: Box, side: int) -> Crop:
    """The part of the photo in `box`, resized to `side` x `side` pixels."""
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=box))


def centre_crop(image: Image.Image, side: int) -> Crop:
    """The largest centred square, resized to `side` x `side` pixels."""
    left, top = max(0, image.width - image.height) / 2, max(0, image.height - image.width) / 2
    return crop(image, (left, top, image.width - left, image.height - top), side)
