"""Files that no honest camera writes, for whoever reads pictures."""

import io
import random
import struct
import zipfile
from collections.abc import Iterator, Sequence

from PIL import Image

from tests.ml.pictures import encoded, png

KINDS = ("JPEG", "progressive JPEG", "PNG", "GIF", "WEBP")
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def of(kind: str, image: Image.Image) -> bytes:
    """The picture in a file of one of KINDS."""
    return encoded(image, "JPEG", progressive=True) if kind == "progressive JPEG" else encoded(image, kind)


def bombs() -> dict[str, bytes]:
    """Small files that claim as many pixels as their format can."""
    small = Image.new("RGB", (16, 16), "red")
    jpeg, gif = bytearray(encoded(small, "JPEG")), bytearray(encoded(small, "GIF"))
    size = jpeg.index(b"\xff\xc0") + 5
    jpeg[size : size + 4] = b"\xff\xff\xff\xff"
    gif[6:10] = b"\xff\xff\xff\xff"
    webp = bytearray(encoded(small, "WEBP", lossless=True))
    webp[21:25] = struct.pack("<I", 16_383 | 16_383 << 14)
    canvas = bytearray(encoded(small, "WEBP", save_all=True, append_images=[Image.new("RGB", (16, 16))]))
    canvas[24:30] = b"\xff" * 6
    return {
        "JPEG": bytes(jpeg),
        "PNG": png(struct.pack(">IIBBBBB", 65_535, 65_535, 8, 2, 0, 0, 0), bytes(65_536) * 64),
        "PNG, beyond all sizes": png(struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 16, 6, 0, 0, 0), b"\0"),
        "GIF": bytes(gif),
        "WebP": bytes(webp),
        "animated WebP": bytes(canvas),
    }


def polyglots(photo: Image.Image) -> dict[str, tuple[bytes, set[int]]]:
    """Files that are two things at once, with the statuses that may answer them."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("code/inference.py", "raise SystemExit")
    page = b"<!doctype html><script>alert(1)</script>"
    jpeg = encoded(photo, "JPEG")
    return {
        "JPEG and ZIP": (jpeg + stream.getvalue(), {200}),
        "ZIP and JPEG": (stream.getvalue() + jpeg, {422}),
        "JPEG and PHP": (encoded(photo, "JPEG", comment=b"<?php system($_GET[0]); ?>"), {200}),
        "PNG and page": (encoded(photo, "PNG") + page, {200}),
        "GIF and JavaScript": (b"GIF89a/*" + encoded(photo, "GIF")[8:] + b"*/=1;alert(1)", {200, 422}),
        "page and JPEG": (page + jpeg, {422}),
        "PDF and JPEG": (b"%PDF-1.7\n" + jpeg, {422}),
    }


def no_photos() -> dict[str, bytes]:
    """What is no picture of an accepted format."""
    return {
        "nothing": b"",
        "one byte": b"\xff",
        "text": b"not a photo",
        "page": b"<!doctype html><html></html>",
        "XML": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "JSON": b'{"url": "https://127.0.0.1/"}',
        "pickle": b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.",
        "ELF": b"\x7fELF\x02\x01\x01" + bytes(57),
        "gzip": b"\x1f\x8b\x08\0" + bytes(20),
        "zeros": bytes(100_000),
        "only a JPEG's first bytes": b"\xff\xd8\xff",
        "only a PNG's first bytes": b"\x89PNG\r\n\x1a\n",
        "only a GIF's first bytes": b"GIF89a",
        "only a WebP's first bytes": b"RIFF\xff\xff\xff\xffWEBP",
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n(/etc/passwd) run\n",
        "TIFF": encoded(Image.new("RGB", (4, 4)), "TIFF"),
        "BMP": encoded(Image.new("RGB", (4, 4)), "BMP"),
        "ICO": encoded(Image.new("RGB", (16, 16)), "ICO"),
    }


def mutants(sources: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """So many files, each a real one with one to eight faults; the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(chance.choice(sources))
        for _ in range(chance.randint(1, 8)):
            _fault(data, sources, chance)
        yield bytes(data)


def _fault(data: bytearray, sources: Sequence[bytes], chance: random.Random) -> None:
    """One of those that fuzzers make; half of them near the start, where files say what they are."""
    end = min(len(data), 64) if chance.random() < 0.5 else len(data)
    start = chance.randrange(end) if end else 0
    stop = min(len(data), start + 2 ** chance.randint(0, 9))
    match chance.randrange(7):
        case 0 if data:
            data[start] ^= 1 << chance.randrange(8)
        case 1:
            del data[start:stop]
        case 2:
            data[start:start] = data[start:stop]
        case 3:
            data[start:stop] = chance.randbytes(stop - start)
        case 4:
            del data[start:]
        case 5:
            size, order = chance.choice((1, 2, 4)), chance.choice((1, -1))
            data[start : start + size] = (chance.choice(EDGES) % 256**size).to_bytes(size)[::order]
        case _:
            other = chance.choice(sources)
            data[start:] = other[min(start, len(other)) :]
