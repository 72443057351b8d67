"""One photo in every kind of file, each with its plain twin."""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Twins = dict[str, tuple[bytes, bytes]]  # a file, and a plain PNG or JPEG of the same picture

# The EXIF orientation of a photo that was turned so before it was stored.
TURNED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def lossless(photo: Image.Image) -> Twins:
    """Files that hold every pixel of their twins."""
    plain, jpeg = encoded(photo, "PNG"), encoded(photo, "JPEG")
    grey, two, palette = photo.convert("L"), photo.convert("1"), photo.quantize(64)
    other = photo.rotate(180)
    fading = Image.linear_gradient("L").resize(photo.size)
    faded, grey_faded = photo.copy(), grey.copy()
    faded.putalpha(fading)
    grey_faded.putalpha(fading)
    alpha = np.asarray(fading)
    grey16 = np.asarray(grey).astype(np.uint16) * 257
    key, key16, colour = palette.getpixel((0, 0)), int(grey16[0, 0]), photo.getpixel((0, 0))
    indices = np.asarray(palette)
    opaque = np.where(indices == key, 0, 255)
    coloured = np.where((np.asarray(photo) == colour).all(2), 0, 255)
    return {
        "grey PNG": (encoded(grey, "PNG"), on_white(grey)),
        "black and white PNG": (encoded(two, "PNG"), on_white(two)),
        "RGBA PNG": (encoded(faded, "PNG"), on_white(photo, alpha)),
        "LA PNG": (encoded(grey_faded, "PNG"), on_white(grey, alpha)),
        "PNG with a transparent colour": (encoded(photo, "PNG", transparency=colour), on_white(photo, coloured)),
        "palette PNG": (encoded(palette, "PNG"), on_white(palette)),
        "palette PNG with a transparent colour": (encoded(palette, "PNG", transparency=key), on_white(palette, opaque)),
        "palette PNG with alpha": (
            encoded(palette, "PNG", transparency=bytes(range(0, 256, 4))),
            on_white(palette, indices * 4),
        ),
        "16-bit grey PNG": (encoded(Image.fromarray(grey16), "PNG"), on_white(grey)),
        "16-bit grey PNG with a transparent grey": (
            encoded(Image.fromarray(grey16), "PNG", transparency=key16),
            on_white(grey, np.where(grey16 == key16, 0, 255)),
        ),
        "16-bit LA PNG": (png16(np.asarray(grey_faded)), on_white(grey, alpha)),
        "16-bit RGB PNG": (png16(np.asarray(photo)), plain),
        "16-bit RGBA PNG": (png16(np.asarray(faded)), on_white(photo, alpha)),
        "animated PNG": (encoded(photo, "PNG", save_all=True, append_images=[other]), plain),
        "GIF": (encoded(palette, "GIF"), on_white(palette)),
        "interlaced GIF": (encoded(palette, "GIF", interlace=1), on_white(palette)),
        "GIF with a transparent colour": (encoded(palette, "GIF", transparency=key), on_white(palette, opaque)),
        "animated GIF": (
            encoded(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]),
            on_white(palette),
        ),
        "lossless WebP": (encoded(photo, "WEBP", lossless=True), plain),
        "lossless WebP with alpha": (encoded(faded, "WEBP", lossless=True), on_white(photo, alpha)),
        "animated WebP": (encoded(photo, "WEBP", lossless=True, save_all=True, append_images=[other]), plain),
        "progressive JPEG": (encoded(photo, "JPEG", progressive=True), jpeg),
        "JPEG of a phone, with a second picture": (encoded(photo, "MPO", save_all=True, append_images=[other]), jpeg),
        "PNG turned by EXIF": (turned(photo, 6, "PNG"), plain),
    } | {f"WebP turned by EXIF {way}": (turned(photo, way, "WEBP", lossless=True), plain) for way in TURNED}


def lossy(photo: Image.Image) -> Twins:
    """Files whose pixels are near those of their twins."""
    plain = encoded(photo, "PNG")
    fading = Image.linear_gradient("L").resize(photo.size)
    faded = photo.copy()
    faded.putalpha(fading)
    cmyk = inks(photo)
    printed = encoded(cmyk, "JPEG", quality=95, subsampling=0)
    return {
        "JPEG": (encoded(photo, "JPEG", quality=95, subsampling=0), plain),
        "CMYK JPEG": (adobe(printed, None), plain),
        "CMYK JPEG by Adobe": (printed, plain),
        "YCCK JPEG by Adobe": (adobe(encoded(ycck(cmyk), "JPEG", quality=95, subsampling=0), 2), plain),
        "WebP": (encoded(photo, "WEBP", quality=95), plain),
        "WebP with alpha": (encoded(faded, "WEBP", quality=95), on_white(photo, np.asarray(fading))),
    } | {f"JPEG turned by EXIF {way}": (turned(photo, way, "JPEG", quality=95, subsampling=0), plain) for way in TURNED}


def on_white(image: Image.Image, alpha: NDArray[np.integer] | None = None) -> bytes:
    """A PNG of the image (height, width) before a white wall, alpha (height, width) from 0 to 255."""
    pixels = np.asarray(image.convert("RGB"))
    if alpha is not None:
        weights = alpha[..., None] / 255
        pixels = np.rint(pixels * weights + 255 * (1 - weights)).astype(np.uint8)
    return encoded(Image.fromarray(pixels), "PNG")


def turned(photo: Image.Image, way: int, kind: str, **options: object) -> bytes:
    exif, turn = Image.Exif(), TURNED[way]
    exif[0x0112] = way
    return encoded(photo if turn is None else photo.transpose(turn), kind, exif=exif, **options)


def inks(photo: Image.Image) -> Image.Image:
    """The colours in cyan, magenta, yellow, and as much black as they have in common."""
    pixels = np.asarray(photo).astype(np.float64)
    light = pixels.max(2, keepdims=True)
    colours = 255 * (light - pixels) / np.maximum(light, 1)
    return Image.fromarray(np.rint(np.concatenate([colours, 255 - light], axis=2)).astype(np.uint8), "CMYK")


def ycck(cmyk: Image.Image) -> Image.Image:
    """The colours as Adobe's programs store them, inverted because Pillow inverts them when it stores."""
    *colours, black = cmyk.split()
    stored = Image.merge("RGB", colours).convert("YCbCr").split()
    return Image.merge("CMYK", [*(band.point(lambda value: 255 - value) for band in stored), black])


def adobe(jpeg: bytes, transform: int | None) -> bytes:
    """The JPEG with another transform in Adobe's marker, or without the marker."""
    start = jpeg.index(b"\xff\xee\x00\x0eAdobe")
    marker = b"" if transform is None else jpeg[start : start + 15] + bytes([transform])
    return jpeg[:start] + marker + jpeg[start + 16 :]


def scanned(photo: Image.Image, times: int) -> bytes:
    """A progressive JPEG whose last scan comes `times` times: little to send, much to do."""
    data = encoded(photo, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * times + data[-2:]


def png16(pixels: Pixels) -> bytes:
    """A PNG of 16 bits, of pixels (height, width, channels) of 8; Pillow writes none."""
    height, width, channels = pixels.shape
    rows = (pixels.astype(np.uint16) * 257).astype(">u2").reshape(height, -1)
    colour = {2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return png(header, b"".join(b"\0" + row.tobytes() for row in rows))


def png(header: bytes, rows: bytes) -> bytes:
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    packed = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
