"""Hostile servers: whatever they send, and however long, the function answers its documented code in 6 s and 64 MB.

Each case is one invocation in a process of its own, and one answer of a real server that plays the attacker.
"""

import functools
import gzip
import io
import itertools
import time
import zipfile
from collections.abc import Callable

import pytest

from tests.security.attacker import ADDRESS, HOST, MUTE_HOST, Pieces, World
from tests.security.conftest import (
    ANSWERED,
    LATE,
    OTHER_TYPE,
    TOO_LARGE,
    UNAVAILABLE,
    UNREADABLE,
    Refusal,
    check,
)


def answer(*headers: bytes, body: bytes = b"", status: bytes = b"200 OK") -> Pieces:
    return [b"\r\n".join([b"HTTP/1.1 " + status, *headers, b"", b""]), body]


def length(claimed: object) -> bytes:
    return f"Content-Length: {claimed}".encode()


@functools.cache
def bomb() -> bytes:
    """256 MB of zeros, a quarter of a megabyte."""
    return gzip.compress(bytes(256 * 2**20), compresslevel=1)


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.jpg", b"a")
    return stream.getvalue()


JPEG = b"Content-Type: image/jpeg"
CHUNKED = b"Transfer-Encoding: chunked"
HUGE = 10**30
# Answers that end; each is made of the good photo.
ANSWERS: dict[str, tuple[Callable[[bytes], Pieces], Refusal]] = {
    "gzip bomb": (lambda _: answer(JPEG, b"Content-Encoding: gzip", body=bomb()), UNREADABLE),
    "gzip bomb as a transfer": (lambda _: answer(JPEG, b"Transfer-Encoding: gzip", body=bomb()), UNREADABLE),
    "length too long": (lambda photo: answer(JPEG, length(len(photo) + 100), body=photo), UNAVAILABLE),
    "length too short": (lambda photo: answer(JPEG, length(len(photo) // 2), body=photo), UNREADABLE),
    "length of nothing": (lambda photo: answer(JPEG, length(0), body=photo), UNREADABLE),
    "huge length": (lambda photo: answer(JPEG, length(HUGE), body=photo), TOO_LARGE),
    "length of 5,000 digits": (lambda photo: answer(JPEG, length("9" * 5000), body=photo), ANSWERED),
    "negative length": (lambda photo: answer(JPEG, length(-1), body=photo), ANSWERED),
    "length in words": (lambda photo: answer(JPEG, length("much"), body=photo), ANSWERED),
    "chunk cut short": (lambda photo: answer(JPEG, CHUNKED, body=b"ffff\r\n" + photo), UNAVAILABLE),
    "chunk of a huge size": (lambda photo: answer(JPEG, CHUNKED, body=b"f" * 60 + b"\r\n" + photo), UNAVAILABLE),
    "chunk of no size": (lambda photo: answer(JPEG, CHUNKED, body=b"photo\r\n" + photo), UNAVAILABLE),
    "page": (lambda _: answer(b"Content-Type: text/html", body=b"<!doctype html>"), OTHER_TYPE),
    "SVG": (lambda _: answer(b"Content-Type: image/svg+xml", body=b"<svg/>"), OTHER_TYPE),
    "type of 60 KiB": (lambda photo: answer(b"Content-Type: " + b"a" * 60_000, body=photo), OTHER_TYPE),
    "photo called a page": (lambda photo: answer(b"Content-Type: text/html", body=photo), OTHER_TYPE),
    "page called a photo": (lambda _: answer(JPEG, body=b"<!doctype html>"), UNREADABLE),
    "archive called a photo": (lambda _: answer(JPEG, body=zipped()), UNREADABLE),
    "BMP called a photo": (lambda _: answer(JPEG, body=b"BM" + bytes(100)), OTHER_TYPE),
    "nothing": (lambda _: answer(JPEG, length(0)), UNREADABLE),
    "no HTTP": (lambda _: [b"220 mail.example ESMTP\r\n"], UNAVAILABLE),
    "hung up": (lambda _: [], UNAVAILABLE),
    "status 999": (lambda photo: answer(JPEG, body=photo, status=b"999 Whatever"), UNAVAILABLE),
    "status that is none": (lambda photo: answer(JPEG, body=photo, status=b"two hundred"), UNAVAILABLE),
    "partial content": (lambda photo: answer(JPEG, body=photo, status=b"206 Partial Content"), UNAVAILABLE),
    "millions of headers": (lambda photo: answer(*[b"a:\r" * 21_000] * 90, body=photo), UNAVAILABLE),
}


@pytest.mark.parametrize(("make", "refusal"), ANSWERS.values(), ids=ANSWERS.keys())
def test_answers_its_code_to_a_hostile_answer(
    internet: World, photo: bytes, make: Callable[[bytes], Pieces], refusal: Refusal
) -> None:
    internet.attacker.answers["/attack"] = functools.partial(make, photo)
    outcome = internet.invoke({"url": f"https://{HOST}/attack"})
    check(outcome, refusal)
    assert outcome.connected == [ADDRESS]


def for_ever(first: bytes, piece: bytes, seconds: float = 0) -> Pieces:
    yield first
    for _ in itertools.count():
        yield piece
        time.sleep(seconds)


OK = b"HTTP/1.1 200 OK\r\n"
HEAD = OK + JPEG + b"\r\n\r\n"
CHUNKED_HEAD = OK + JPEG + b"\r\n" + CHUNKED + b"\r\n\r\n"
MEGABYTE = b"x" * 2**20
# Answers that never end: first, then the same for ever, with so many seconds in between.
ENDLESS: dict[str, tuple[bytes, bytes, float, tuple[Refusal, ...]]] = {
    "body": (HEAD, MEGABYTE, 0, (TOO_LARGE,)),
    "body in chunks": (CHUNKED_HEAD, b"100000\r\n" + MEGABYTE + b"\r\n", 0, (TOO_LARGE,)),
    "body in chunks of two bytes": (CHUNKED_HEAD, b"2\r\nxx\r\n" * 10_000, 0, (UNAVAILABLE, LATE)),
    "chunk of the size -1": (CHUNKED_HEAD + b"-1\r\n", MEGABYTE, 0, (UNAVAILABLE,)),
    "size of a chunk": (CHUNKED_HEAD, MEGABYTE, 0, (UNAVAILABLE,)),
    "trailers": (CHUNKED_HEAD + b"0\r\n", b"a: b\r\n" * 10_000, 0, (UNAVAILABLE, LATE)),
    "status line": (b"HTTP/1.1 200 ", MEGABYTE, 0, (UNAVAILABLE,)),
    "header": (OK + b"X-Long: ", MEGABYTE, 0, (UNAVAILABLE,)),
    "headers": (OK, b"a: b\r\n" * 10_000, 0, (UNAVAILABLE,)),
    "long headers": (OK, b"a: " + b"b" * 60_000 + b"\r\n", 0, (UNAVAILABLE,)),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 0, (UNAVAILABLE,)),
    "drip of a status line": (b"", b"H", 0.05, (LATE,)),
    "drip of headers": (OK, b"a: b\r\n", 0.1, (LATE,)),
    "drip of a body": (HEAD, b"x", 0.05, (LATE,)),
    "drip of chunks": (CHUNKED_HEAD, b"1\r\nx\r\n", 0.05, (LATE,)),
    "drip of a body that was to be short": (OK + JPEG + b"\r\n" + length(500) + b"\r\n\r\n", b"x", 0.05, (LATE,)),
}


@pytest.mark.parametrize(("first", "piece", "pause", "refusals"), ENDLESS.values(), ids=ENDLESS.keys())
def test_hangs_up_on_a_server_that_never_ends(
    internet: World, first: bytes, piece: bytes, pause: float, refusals: tuple[Refusal, ...]
) -> None:
    internet.attacker.answers["/attack"] = functools.partial(for_ever, first, piece, pause)
    outcome = internet.invoke({"url": f"https://{HOST}/attack"})
    check(outcome, *refusals)
    assert internet.attacker.cut_off.wait(60), "the server was still sending, and somebody still listening"


@pytest.mark.parametrize("seconds", [0, 3], ids=["at once", "after 3 s of connecting"])
def test_hangs_up_on_a_server_that_says_nothing(internet: World, seconds: float) -> None:
    check(internet.invoke({"url": f"https://{MUTE_HOST}/"}, seconds=seconds), LATE)


def test_an_image_wrapped_at_every_second_character_takes_no_memory_for_each_line(internet: World) -> None:
    check(internet.invoke({"image": "AA\n" * (2 * 2**20)}), UNREADABLE)
