"""What the function fetches for a caller, and above all what it does not."""

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from invoke_endpoint import fetch as fetching
from invoke_endpoint.errors import (
    AddressNotAllowedError,
    BadRequestError,
    InvocationError,
    PhotoTooLargeError,
    PhotoUnavailableError,
    TimedOutError,
    UnsupportedTypeError,
)
from invoke_endpoint.fetch import MAX_BYTES, fetch, is_public

Serve = Callable[..., Any]
Reply = Callable[..., Any]
NOBODY: frozenset[str] = frozenset()


def resolve_to(patch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Stands for a caller's name server: the next of `answers` at each lookup. Returns the names asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: object) -> list[Any]:
        addresses = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [(family, 1, 6, "", (address, port)) for family, address in zip(families, addresses, strict=True)]

    patch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.fixture
def no_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test fails if anything is connected to."""
    attempts: list[object] = []
    monkeypatch.setattr(fetching, "_connect", lambda *arguments: attempts.append(arguments))
    yield
    assert attempts == []


@pytest.mark.usefixtures("trust")
@pytest.mark.parametrize(
    "content_type", ["image/jpeg", "IMAGE/JPEG; q=1", "image/gif", "image/webp", "binary/octet-stream"]
)
def test_fetches_over_https(serve: Serve, reply: Reply, photo: bytes, content_type: str) -> None:
    server = serve(reply(200, photo, Content_Type=content_type), tls=True)
    assert fetch(f"{server.url}/pug.jpg?size=1#top", frozenset({server.authority})) == photo
    path, headers, _ = server.requests[0]
    assert (path, headers["Host"]) == ("/pug.jpg?size=1", server.authority)


@pytest.mark.usefixtures("trust")
def test_checks_the_certificate_against_the_name_in_the_url(
    serve: Serve, reply: Reply, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(reply(200, photo), tls=True)
    resolve_to(monkeypatch, ["127.0.0.1"])
    allowed = frozenset({"localhost", "elsewhere.example"})
    assert fetch(f"https://localhost:{server.port}/", allowed) == photo
    with pytest.raises(PhotoUnavailableError) as caught:
        fetch(f"https://elsewhere.example:{server.port}/", allowed)
    assert "Hostname mismatch" in str(caught.value.detail["cause"])
    assert len(server.requests) == 1


def test_refuses_a_certificate_nobody_vouches_for(serve: Serve, reply: Reply) -> None:
    server = serve(reply(200), tls=True)
    with pytest.raises(PhotoUnavailableError):
        fetch(server.url, frozenset({"127.0.0.1"}))
    assert server.requests == []


@pytest.mark.parametrize("allowed", ["127.0.0.1", "127.0.0.1:{port}"])
def test_fetches_from_a_named_host_although_neither_https_nor_public(
    serve: Serve, reply: Reply, photo: bytes, allowed: str
) -> None:
    server = serve(reply(200, photo))
    assert fetch(server.url, frozenset({allowed.format(port=server.port)})) == photo


@pytest.mark.parametrize("allowed", ["localhost", "127.0.0.1:1", "27.0.0.1", "127.0.0.1.example"])
def test_trusts_no_other_host_than_the_named(serve: Serve, reply: Reply, allowed: str) -> None:
    server = serve(reply(200))
    with pytest.raises(AddressNotAllowedError):
        fetch(server.url, frozenset({allowed}))
    assert server.connections == 0


def test_a_trusted_ipv6_address_is_named_in_brackets() -> None:
    target = fetching.Target.parse("http://[::1]:8080/")
    assert target.is_named_in(frozenset({"[::1]"}))
    assert target.is_named_in(frozenset({"[::1]:8080"}))
    assert not target.is_named_in(frozenset({"[::1]:80"}))


@pytest.mark.usefixtures("no_connections")
@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/dog.jpg",
        "http://example.com:443/dog.jpg",
        "ftp://example.com/dog.jpg",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "https://example.com:22/",
        "https://example.com:8443/",
        "https://127.0.0.1/",
        "https://0.0.0.0/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://169.254.170.2/v2/credentials",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[fd00:ec2::254]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://localhost/",
    ],
)
def test_goes_nowhere_but_to_https_on_public_addresses(url: str) -> None:
    with pytest.raises(AddressNotAllowedError):
        fetch(url, NOBODY)


@pytest.mark.usefixtures("no_connections")
@pytest.mark.parametrize(
    "url",
    [
        "dog.jpg",
        "//example.com/dog.jpg",
        "https://",
        "https:///dog.jpg",
        "https://user:secret@example.com/",
        "https://example.com@127.0.0.1/",
        "https://127.0.0.1\\@example.com/",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://[::1/",
        "https://example.com/\r\nX-Injected: 1",
        "https://example.com/a b.jpg",
        "https://example.com/a\tb.jpg",
        "https://example.com/dög.jpg",
        "https://\uff45xample.com/",
        "\x00https://example.com/",
    ],
)
def test_refuses_what_is_no_url(url: str) -> None:
    with pytest.raises(BadRequestError):
        fetch(url, NOBODY)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.53",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.8",
        "192.168.1.1",
        "192.88.99.1",
        "198.18.0.1",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:7f00:1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_knows_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "52.218.0.1", "2606:4700::1111", "2a05:d018::1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]
)
def test_knows_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.usefixtures("no_connections")
def test_refuses_a_name_of_which_one_address_is_not_public(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, ["1.1.1.1", "10.0.0.1"])
    with pytest.raises(AddressNotAllowedError):
        fetch("https://photos.example/", NOBODY)


def test_connects_to_the_address_it_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that answers a public address first and loopback ever after gets one question only."""
    asked = resolve_to(monkeypatch, ["1.1.1.1"], ["127.0.0.1"])
    connected: list[object] = []

    def connect(self: socket.socket, address: object) -> None:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(PhotoUnavailableError):
        fetch("https://rebinding.example/", NOBODY)
    assert (asked, connected) == (["rebinding.example"], [("1.1.1.1", 443)])


def test_tries_the_next_address_when_one_does_not_answer(
    serve: Serve, reply: Reply, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(reply(200, photo))
    resolve_to(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    assert fetch(f"http://photos.example:{server.port}/", frozenset({"photos.example"})) == photo


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_follows_a_redirect(serve: Serve, reply: Reply, photo: bytes, status: int) -> None:
    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        answer = reply(200, photo) if request.path == "/b?c" else reply(status, b"moved", Location="b?c")
        answer(request)

    server = serve(respond)
    assert fetch(f"{server.url}/a", frozenset({server.authority})) == photo
    assert [path for path, _, _ in server.requests] == ["/a", "/b?c"]


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("https://localhost:{port}/", AddressNotAllowedError),
        ("https://127.0.0.1/", AddressNotAllowedError),
        ("https://169.254.169.254/latest/meta-data/", AddressNotAllowedError),
        ("http://example.com/", AddressNotAllowedError),
        ("file:///etc/passwd", AddressNotAllowedError),
        ("https://user@example.com/", BadRequestError),
        ("https://[::1", PhotoUnavailableError),
    ],
)
def test_checks_where_a_redirect_leads(serve: Serve, reply: Reply, location: str, error: type[InvocationError]) -> None:
    inside = serve(reply(200), tls=True)
    outside = serve(reply(302, Location=location.format(port=inside.port)))
    with pytest.raises(error):
        fetch(outside.url, frozenset({outside.authority}))
    assert (len(outside.requests), inside.connections) == (1, 0)


def test_follows_three_redirects_and_no_fourth(serve: Serve, reply: Reply, photo: bytes) -> None:
    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        left = int(request.path[1:])
        answer = reply(302, Location=f"/{left - 1}") if left else reply(200, photo)
        answer(request)

    server = serve(respond)
    allowed = frozenset({server.authority})
    assert fetch(f"{server.url}/3", allowed) == photo
    with pytest.raises(PhotoUnavailableError, match="redirects"):
        fetch(f"{server.url}/4", allowed)
    assert len(server.requests) == 8


@pytest.mark.parametrize("status", [204, 304, 403, 404, 500])
def test_says_which_status_the_photos_server_answered(serve: Serve, reply: Reply, status: int) -> None:
    server = serve(reply(status))
    with pytest.raises(PhotoUnavailableError, match=str(status)):
        fetch(server.url, frozenset({server.authority}))


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "image/bmp", "image/avif", "application/pdf"])
def test_refuses_another_type(serve: Serve, reply: Reply, photo: bytes, content_type: str) -> None:
    server = serve(reply(200, photo, Content_Type=content_type))
    with pytest.raises(UnsupportedTypeError, match="the url is not of a JPEG, PNG, GIF or WebP image"):
        fetch(server.url, frozenset({server.authority}))


def test_takes_exactly_the_largest_photo(serve: Serve, reply: Reply) -> None:
    server = serve(reply(200, b"x" * MAX_BYTES))
    assert len(fetch(server.url, frozenset({server.authority}))) == MAX_BYTES


def test_refuses_a_length_over_the_limit_without_reading(serve: Serve, reply: Reply) -> None:
    server = serve(reply(200, b"x", Content_Length=str(MAX_BYTES + 1)))
    with pytest.raises(PhotoTooLargeError):
        fetch(server.url, frozenset({server.authority}))


@pytest.mark.parametrize("chunked", [True, False])
def test_stops_reading_what_has_no_length_at_the_limit(serve: Serve, chunked: bool) -> None:
    written = threading.Event()

    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Connection", "close")))
        request.end_headers()
        piece = b"x" * 2**20
        try:
            while True:
                request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        except OSError:
            written.set()

    server = serve(respond)
    with pytest.raises(PhotoTooLargeError):
        fetch(server.url, frozenset({server.authority}))
    assert written.wait(5), "the endless answer was cut off"


@pytest.mark.parametrize("headers", [{"Content_Length": "100"}, {"Transfer_Encoding": "chunked"}])
def test_refuses_half_a_photo(serve: Serve, reply: Reply, headers: dict[str, str]) -> None:
    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        reply(200, b"5\r\nhello\r\n", **headers)(request)
        request.close_connection = True

    server = serve(respond)
    with pytest.raises(PhotoUnavailableError):
        fetch(server.url, frozenset({server.authority}))


def drip(request: http.server.BaseHTTPRequestHandler, first: bytes) -> None:
    """A byte every 20 ms, for 10 s: each alone is well within any timeout."""
    request.wfile.write(first)
    try:
        for _ in range(500):
            request.wfile.write(b"x")
            time.sleep(0.02)
    except OSError:
        pass
    request.close_connection = True


@pytest.mark.usefixtures("trust")
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    "first", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"]
)
def test_gives_up_on_a_server_that_drips(serve: Serve, first: bytes, tls: bool) -> None:
    server = serve(lambda request: drip(request, first), tls=tls)
    started = time.monotonic()
    with pytest.raises(TimedOutError):
        fetch(server.url, frozenset({server.authority}), seconds=0.3)
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_gives_up_on_a_server_that_says_nothing(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        authority = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TimedOutError):
            fetch(f"{scheme}://{authority}/", frozenset({authority}), seconds=0.2)


def test_one_deadline_spans_all_redirects(serve: Serve, reply: Reply) -> None:
    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        time.sleep(0.15)
        reply(302, Location="/again")(request)

    server = serve(respond)
    with pytest.raises(TimedOutError):
        fetch(server.url, frozenset({server.authority}), seconds=0.4)
    assert len(server.requests) < 4


def test_gives_up_on_a_name_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(10) and [])
    started = time.monotonic()
    with pytest.raises(TimedOutError):
        fetch("https://slow.example/", NOBODY, seconds=0.2)
    released.set()
    assert time.monotonic() - started < 4


def test_a_host_that_does_not_resolve_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(PhotoUnavailableError):
        fetch("https://no-such-host.example/", NOBODY)


@pytest.mark.parametrize("host", [".example", "a..example", "a" * 64 + ".example"])
def test_a_host_that_no_name_server_can_know_is_unavailable(host: str) -> None:
    with pytest.raises(PhotoUnavailableError) as caught:
        fetch(f"https://{host}/?token=secret", NOBODY)
    assert "secret" not in repr(caught.value.detail)


def test_a_server_that_speaks_something_else_is_unavailable(serve: Serve) -> None:
    def respond(request: http.server.BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"220 mail.example ESMTP\r\n")
        request.close_connection = True

    server = serve(respond)
    with pytest.raises(PhotoUnavailableError) as caught:
        fetch(server.url, frozenset({server.authority}))
    assert "ESMTP" not in str(caught.value)
