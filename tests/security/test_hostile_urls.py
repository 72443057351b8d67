"""Hostile URLs, names and servers: whatever a stranger sends, the function answers its documented code.

Each case is one invocation in a process of its own, which has 6 s and 64 MB for it; the photo's server is a real one
that plays the attacker. The attacker owns the internet: each name resolves as he likes. What the function connects to
is written down, and it must never be anything but a public address.
"""

import functools
import gzip
import io
import itertools
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.certificates import self_signed
from tests.security.attacker import ADDRESS, HOST, MUTE_ADDRESS, MUTE_HOST, Names, Outcome, Pieces, World, world

SECONDS, MEGABYTES = 6.0, 64.0
BAD, UNAVAILABLE, FORBIDDEN = (400, "bad_request"), (400, "photo_unavailable"), (403, "address_not_allowed")
TOO_LARGE, OTHER_TYPE = (413, "photo_too_large"), (415, "unsupported_type")
UNREADABLE, LATE, ANSWERED = (422, "unreadable_image"), (504, "timed_out"), (200, None)

Refusal = tuple[int, str | None]


@pytest.fixture(scope="module")
def photo() -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = [HOST, MUTE_HOST, "rebinding.example", "both.example", "inside.example"]
    return self_signed(tmp_path_factory.mktemp("tls") / "certificate.pem", names)


@pytest.fixture
def internet(certificate: Path, photo: bytes) -> Iterator[World]:
    with world(certificate, photo) as here:
        yield here


def check(outcome: Outcome, *expected: Refusal) -> None:
    """One of the documented codes, in the time and memory that are promised, and nobody but the attacker asked."""
    assert (outcome.status, outcome.code) in expected
    assert outcome.seconds < SECONDS
    assert outcome.growth_mb < MEGABYTES
    assert {ADDRESS, MUTE_ADDRESS}.issuperset(outcome.connected)


ADDRESSES = {
    "loopback": "127.0.0.1",
    "all of loopback": "127.9.9.9",
    "this host": "0.0.0.0",
    "metadata": "169.254.169.254",
    "container credentials": "169.254.170.2",
    "link-local": "169.254.1.1",
    "private 10": "10.0.0.1",
    "private 172": "172.31.255.254",
    "private 192": "192.168.1.1",
    "CGNAT": "100.64.0.1",
    "protocol assignments": "192.0.0.8",
    "6to4 relay": "192.88.99.1",
    "benchmarking": "198.18.0.1",
    "documentation": "203.0.113.1",
    "multicast": "224.0.0.1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "IPv6 loopback": "[::1]",
    "IPv6 unspecified": "[::]",
    "IPv6 link-local": "[fe80::1]",
    "IPv6 link-local with a zone": "[fe80::1%25lo]",
    "IPv6 site-local": "[fec0::1]",
    "IPv6 unique local": "[fc00::1]",
    "IPv6 metadata": "[fd00:ec2::254]",
    "IPv6 multicast": "[ff02::1]",
    "IPv6 documentation": "[2001:db8::1]",
    "IPv4 mapped": "[::ffff:127.0.0.1]",
    "IPv4 mapped, in hex": "[::ffff:a9fe:a9fe]",
    "IPv4 compatible": "[::127.0.0.1]",
    "IPv4 translated": "[::ffff:0:127.0.0.1]",
    "6to4": "[2002:7f00:1::]",
    "NAT64": "[64:ff9b::127.0.0.1]",
    "NAT64 of the metadata": "[64:ff9b::a9fe:a9fe]",
    "NAT64, local use": "[64:ff9b:1::7f00:1]",
    "Teredo": "[2001:0:7f00:1::]",
    "decimal": "2130706433",
    "decimal metadata": "2852039166",
    "octal": "0177.0.0.1",
    "octal of one number": "017700000001",
    "hex": "0x7f.0x0.0x0.0x1",
    "hex of one number": "0x7f000001",
    "short": "127.1",
    "mixed": "0xa9.0376.43518",
    "localhost": "localhost",
    "upper case": "LOCALHOST",
}


@pytest.mark.parametrize("host", ADDRESSES.values(), ids=ADDRESSES.keys())
def test_goes_to_no_address_that_is_not_public(internet: World, host: str) -> None:
    outcome = internet.invoke({"url": f"https://{host}/"})
    check(outcome, FORBIDDEN, *([UNAVAILABLE] if "%" in host else []))
    assert outcome.connected == []


URLS: dict[str, tuple[str, Refusal]] = {
    "http": (f"http://{HOST}/photo.jpg", FORBIDDEN),
    "http on the https port": (f"http://{HOST}:443/photo.jpg", FORBIDDEN),
    "file": ("file:///etc/passwd", FORBIDDEN),
    "file with a host": (f"file://{HOST}/etc/passwd", FORBIDDEN),
    "ftp": (f"ftp://{HOST}/photo.jpg", FORBIDDEN),
    "data": ("data:image/png;base64,iVBORw0KGgo=", FORBIDDEN),
    "gopher": ("gopher://127.0.0.1:6379/_FLUSHALL", FORBIDDEN),
    "dict": ("dict://127.0.0.1:11211/stats", FORBIDDEN),
    "jar": (f"jar:https://{HOST}/a.jar!/b", FORBIDDEN),
    "unix socket": ("unix:///var/run/docker.sock", FORBIDDEN),
    "s3": ("s3://kennel-dogs/datasets/a.jpg", FORBIDDEN),
    "port of SSH": (f"https://{HOST}:22/", FORBIDDEN),
    "another port": (f"https://{HOST}:8443/", FORBIDDEN),
    "port beyond the last": (f"https://{HOST}:65536/", BAD),
    "negative port": (f"https://{HOST}:-443/", BAD),
    "port in words": (f"https://{HOST}:https/", BAD),
    "port in other digits": (f"https://{HOST}:\uff14\uff14\uff13/", BAD),
    "user that looks like the host": ("https://example.com@127.0.0.1/", BAD),
    "user and password": (f"https://user:secret@{HOST}/", BAD),
    "host and port as user": (f"https://127.0.0.1:443@{HOST}/", BAD),
    "encoded at": ("https://example.com%40127.0.0.1/", UNAVAILABLE),
    "backslash before the at": (f"https://127.0.0.1\\@{HOST}/", BAD),
    "backslashes": ("https:\\\\127.0.0.1\\", BAD),
    "no slashes": ("https:127.0.0.1/", BAD),
    "three slashes": ("https:///127.0.0.1/", BAD),
    "no scheme": (f"//{HOST}/photo.jpg", BAD),
    "no host": ("https://", BAD),
    "open bracket": ("https://[::1/", BAD),
    "bracket of no address": ("https://[localhost]/", BAD),
    "encoded digits": ("https://%31%32%37.0.0.1/", UNAVAILABLE),
    "encoded dot": ("https://127%2e0.0.1/", UNAVAILABLE),
    "trailing dot of an address": ("https://127.0.0.1./", UNAVAILABLE),
    "trailing dot of localhost": ("https://localhost./", FORBIDDEN),
    "empty label": (f"https://.{HOST}/", UNAVAILABLE),
    "label of 64": (f"https://{'a' * 64}.example/", UNAVAILABLE),
    "name nobody has": ("https://no-such-name.example/", UNAVAILABLE),
    "circled digits": ("https://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/", BAD),
    "fullwidth digits": ("https://\uff11\uff12\uff17.0.0.1/", BAD),
    "ideographic full stop": ("https://127\u30020\u30020\u30021/", BAD),
    "Cyrillic letters": ("https://\u0435vil.example/photo.jpg", BAD),
    "small capitals": ("https://\u029f\u1d0fcalhost/", BAD),
    "fullwidth solidus": ("https://127.0.0.1\uff0f.evil.example/", BAD),
    "right-to-left override": (f"https://{HOST}/\u202egpj.exe", BAD),
    "soft hyphen": ("https://local\u00adhost/", BAD),
    "header injection": (f"https://{HOST}/photo.jpg\r\nX-Injected: 1", BAD),
    "request injection": (f"https://{HOST}/ HTTP/1.1\r\nHost: inside\r\n\r\nGET /", BAD),
    "new line in the host": (f"https://{HOST}\n.inside.example/", BAD),
    "tab in the scheme": (f"ht\ttps://{HOST}/photo.jpg", BAD),
    "null": (f"https://{HOST}/photo.jpg\0", BAD),
    "escape": (f"https://{HOST}/\x1b[31m", BAD),
    "leading blank": (f" https://{HOST}/photo.jpg", BAD),
    "64 KiB": (f"https://{HOST}/{'a' * 65536}", BAD),
    "64 KiB of host": (f"https://{'a.' * 32768}example/", BAD),
    "64 KiB of dots": (f"https://{HOST}/{'../' * 21845}", BAD),
    "5 MiB": (f"https://{HOST}/?{'a' * 5 * 2**20}", BAD),
}


@pytest.mark.parametrize(("url", "refusal"), URLS.values(), ids=URLS.keys())
def test_refuses_a_hostile_url_before_it_connects(internet: World, url: str, refusal: Refusal) -> None:
    outcome = internet.invoke({"url": url}, {"localhost.": [["127.0.0.1"]]})
    check(outcome, refusal)
    assert outcome.connected == []


@pytest.mark.parametrize("path", ["/photo.jpg#@127.0.0.1/", "/photo.jpg"])
def test_a_url_that_is_fine_is_answered(internet: World, path: str) -> None:
    outcome = internet.invoke({"url": f"https://{HOST}{path}"})
    check(outcome, ANSWERED)
    assert outcome.connected == [ADDRESS]


INSIDE = "127.0.0.1"
NAMES: dict[str, tuple[Names, Refusal]] = {
    "loopback": ({"inside.example": [[INSIDE]]}, FORBIDDEN),
    "metadata": ({"inside.example": [["169.254.169.254"]]}, FORBIDDEN),
    "IPv4 mapped": ({"inside.example": [["::ffff:127.0.0.1"]]}, FORBIDDEN),
    "NAT64": ({"inside.example": [["64:ff9b::10.0.0.1"]]}, FORBIDDEN),
    "one of two": ({"inside.example": [[ADDRESS, INSIDE]]}, FORBIDDEN),
    "the other of two": ({"inside.example": [[INSIDE, ADDRESS]]}, FORBIDDEN),
    "no address": ({"inside.example": [[]]}, UNAVAILABLE),
    "a thousand addresses and one": ({"inside.example": [[*[ADDRESS] * 1000, INSIDE]]}, FORBIDDEN),
    "no answer": ({"inside.example": [None]}, LATE),
}


@pytest.mark.parametrize(("names", "refusal"), NAMES.values(), ids=NAMES.keys())
def test_refuses_a_name_that_leads_inside(internet: World, names: Names, refusal: Refusal) -> None:
    outcome = internet.invoke({"url": "https://inside.example/photo.jpg"}, names)
    check(outcome, refusal)
    assert outcome.connected == []


def test_a_name_that_changes_between_check_and_connect_is_looked_up_once(internet: World) -> None:
    names: Names = {"rebinding.example": [[ADDRESS], [INSIDE]]}
    outcome = internet.invoke({"url": "https://rebinding.example/photo.jpg"}, names)
    check(outcome, ANSWERED)
    assert (outcome.looked_up, outcome.connected) == (["rebinding.example"], [ADDRESS])


def test_a_name_that_changes_between_redirects_is_checked_again(internet: World) -> None:
    internet.attacker.answers["/attack"] = functools.partial(redirect, "https://rebinding.example/photo.jpg")
    names: Names = {"rebinding.example": [[ADDRESS], [INSIDE]]}
    outcome = internet.invoke({"url": "https://rebinding.example/attack"}, names)
    check(outcome, FORBIDDEN)
    assert (len(outcome.looked_up), outcome.connected) == (2, [ADDRESS])


def redirect(location: str) -> Pieces:
    return [f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()]


LOCATIONS: dict[str, tuple[str, Refusal]] = {
    "loopback": ("https://127.0.0.1/", FORBIDDEN),
    "metadata": ("https://169.254.169.254/latest/meta-data/iam/security-credentials/", FORBIDDEN),
    "metadata by http": ("http://169.254.169.254/latest/meta-data/", FORBIDDEN),
    "private": ("https://10.0.0.1/", FORBIDDEN),
    "IPv6 loopback": ("https://[::1]/", FORBIDDEN),
    "decimal": ("https://2130706433/", FORBIDDEN),
    "name that leads inside": ("https://localhost/", FORBIDDEN),
    "http": (f"http://{HOST}/photo.jpg", FORBIDDEN),
    "another port": (f"https://{HOST}:6379/", FORBIDDEN),
    "file": ("file:///proc/self/environ", FORBIDDEN),
    "gopher": ("gopher://127.0.0.1/_", FORBIDDEN),
    "data": ("data:image/png;base64,AAAA", FORBIDDEN),
    "user": ("https://example.com@127.0.0.1/", BAD),
    "open bracket": ("https://[::1", UNAVAILABLE),
    "60 KiB": (f"https://{HOST}/{'a' * 60_000}", BAD),
    "itself, for ever": ("/attack", UNAVAILABLE),
    "nowhere": ("", UNAVAILABLE),
}


@pytest.mark.parametrize(("location", "refusal"), LOCATIONS.values(), ids=LOCATIONS.keys())
def test_follows_no_redirect_that_leads_astray(internet: World, location: str, refusal: Refusal) -> None:
    internet.attacker.answers["/attack"] = functools.partial(redirect, location)
    outcome = internet.invoke({"url": f"https://{HOST}/attack"})
    check(outcome, refusal)
    assert 1 <= len(outcome.connected) <= 4


def answer(*headers: bytes, body: bytes = b"", status: bytes = b"200 OK") -> Pieces:
    return [b"\r\n".join([b"HTTP/1.1 " + status, *headers, b"", b""]), body]


def length(claimed: object) -> bytes:
    return f"Content-Length: {claimed}".encode()


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
