"""Fetching a caller's photo, without going anywhere for a caller that the whole internet cannot go.

A name may resolve to one address when it is checked and to another when it is connected to, and a server may redirect
to somewhere else. So each hop is resolved once, every address it has must be public, and the connection is made to
one of those very addresses; only TLS and the Host header see the name. One deadline spans all of it.
"""

import contextlib
import functools
import http.client
import io
import ipaddress
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, cast
from urllib.parse import urljoin, urlsplit

from .errors import (
    AddressNotAllowedError,
    BadRequestError,
    PhotoTooLargeError,
    PhotoUnavailableError,
    TimedOutError,
    UnsupportedTypeError,
)

MAX_BYTES = 6 * 1024 * 1024  # what SageMaker's InvokeEndpoint takes
MAX_URL = 8192  # characters; as much as servers commonly take in a request's first line
MAX_HEAD = 64 * 1024  # bytes before the body: status line, headers, and answers that are none yet (100 Continue)
MAX_FRAMING = MAX_BYTES // 10  # bytes of an answer beside the photo's own: where chunks begin and end, trailers
PIECE = 64 * 1024  # bytes read at once; http.client keeps every chunk of one read apart, however small
MAX_REDIRECTS = 3
MAX_SECONDS = 5.0
DEFAULT_PORTS = {"http": 80, "https": 443}
REDIRECTS = {301, 302, 303, 307, 308}
# What servers call a photo; the last three are what a store says when nobody told it.
CONTENT_TYPES = {
    "image/jpeg",
    "image/jpg",
    "image/pjpeg",
    "image/png",
    "image/gif",
    "image/webp",
    "application/octet-stream",
    "binary/octet-stream",
    "",
}
URL_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")  # RFC 3986: no space, control or backslash
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Never a photo's, but global to some of the Pythons this runs on: protocol assignments, the 6to4 relay and the
# addresses that hold an IPv4 one for it, documentation.
SPECIAL = [ipaddress.ip_network(net) for net in ("192.0.0.0/24", "192.88.99.0/24", "2002::/16", "3fff::/20")]

SocketAddress = tuple[socket.AddressFamily, tuple[Any, ...]]  # what connect() takes, its first item the IP address


class Target(NamedTuple):
    """One address to ask; `authority` is its host and port as the caller wrote them."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str

    @classmethod
    def parse(cls, url: str) -> "Target":
        """Raises BadRequestError for what is no URL, AddressNotAllowedError for one that is not for the web."""
        if len(url) > MAX_URL:
            raise BadRequestError(f"the url is longer than {MAX_URL:,} characters")
        if not URL_CHARACTERS.fullmatch(url):
            raise BadRequestError("the url has characters that no URL has: percent-encode them")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BadRequestError("the url is malformed") from error
        if not parts.scheme:
            raise BadRequestError("the url must be a whole one, such as https://example.com/dog.jpg")
        if parts.scheme not in DEFAULT_PORTS:
            raise AddressNotAllowedError("only https:// addresses are fetched", scheme=parts.scheme)
        if not parts.hostname or "@" in parts.netloc:
            raise BadRequestError("the url must name a host, and no user")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme], parts.netloc, path)

    def is_named_in(self, allowed_hosts: frozenset[str]) -> bool:
        """Whether the host, alone or with its port, is one the function's owner trusts."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return not allowed_hosts.isdisjoint({host, f"{host}:{self.port}"})


def fetch(url: str, allowed_hosts: frozenset[str], seconds: float = MAX_SECONDS) -> bytes:
    """The bytes at `url`, at most 6 MiB, within `seconds` in all.

    Raises BadRequestError, PhotoUnavailableError, AddressNotAllowedError, PhotoTooLargeError, UnsupportedTypeError,
    TimedOutError.
    """
    deadline = time.monotonic() + seconds
    try:
        for _ in range(1 + MAX_REDIRECTS):
            with _response(Target.parse(url), allowed_hosts, deadline) as response:
                if response.status not in REDIRECTS:
                    return _photo(response)
                url = urljoin(url, response.headers.get("Location", ""))
    except TimeoutError as error:
        raise TimedOutError(f"the photo did not arrive within {seconds:g} s", cause=repr(error)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise PhotoUnavailableError("the photo's server cannot be reached", cause=repr(error)) from error
    raise PhotoUnavailableError(f"the url redirects more than {MAX_REDIRECTS} times")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet's, whichever way IPv4 is wrapped in IPv6."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        elif ip not in GLOBAL_UNICAST:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in SPECIAL)


def _photo(response: http.client.HTTPResponse) -> bytes:
    if response.status != http.HTTPStatus.OK:
        raise PhotoUnavailableError(f"the photo's server answered with status {response.status}")
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type not in CONTENT_TYPES:
        raise UnsupportedTypeError("the url is not of a JPEG, PNG, GIF or WebP image", content_type=content_type)
    data = bytearray()
    while max(len(data), response.length or 0) <= MAX_BYTES and (piece := response.read(PIECE)):
        data += piece
    if max(len(data), response.length or 0) > MAX_BYTES:
        raise PhotoTooLargeError(f"the photo is larger than {MAX_BYTES // 2**20} MiB")
    if response.length:
        raise http.client.IncompleteRead(bytes(data), response.length)
    return bytes(data)


@contextlib.contextmanager
def _response(target: Target, allowed_hosts: frozenset[str], deadline: float) -> Iterator[http.client.HTTPResponse]:
    headers = {
        "Host": target.authority,
        "Accept": "image/jpeg, image/png, image/gif, image/webp",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": "kennel-invoke-endpoint",  # some photo hosts refuse requests without one
    }
    lines = [f"GET {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    with _connect(target, _addresses(target, allowed_hosts, deadline), deadline) as connected:
        connected.settimeout(_left(deadline))
        connected.sendall("\r\n".join(lines).encode("ascii"))
        reader = _BoundedReader(connected, deadline, MAX_HEAD)
        # All that HTTPResponse wants of a socket is makefile().
        with http.client.HTTPResponse(cast(socket.socket, reader)) as response:
            response.begin()
            reader.left = MAX_BYTES + MAX_FRAMING
            yield response


def _addresses(target: Target, allowed_hosts: frozenset[str], deadline: float) -> list[SocketAddress]:
    """Where to connect to: every address of the host, after the check that the function may go there."""
    trusted = target.is_named_in(allowed_hosts)
    if not trusted and target.scheme != "https":
        raise AddressNotAllowedError("only https:// addresses are fetched", host=target.authority)
    if not trusted and target.port != DEFAULT_PORTS["https"]:
        raise AddressNotAllowedError("only addresses on the standard https port are fetched", host=target.authority)
    addresses = _resolve(target, deadline)
    if not trusted and not all(is_public(str(socket_address[0])) for _, socket_address in addresses):
        raise AddressNotAllowedError(
            "only addresses on the public internet are fetched",
            host=target.authority,
            addresses=[socket_address[0] for _, socket_address in addresses],
        )
    return addresses


def _resolve(target: Target, deadline: float) -> list[SocketAddress]:
    """Looked up in a thread, because the system's resolver keeps to no deadline of ours."""
    found: queue.SimpleQueue[list[SocketAddress] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            found.put([(family, address) for family, _, _, _, address in answers])
        except Exception as error:  # raised below
            found.put(error)

    threading.Thread(target=look_up, daemon=True).start()
    try:
        addresses = found.get(timeout=_left(deadline))
    except queue.Empty:
        raise TimeoutError(f"the name {target.host} was not resolved in time") from None
    if isinstance(addresses, Exception):
        raise addresses
    return addresses


def _connect(target: Target, addresses: list[SocketAddress], deadline: float) -> socket.socket:
    """A connection to the first of the addresses that accepts one."""
    failure: OSError = OSError(f"{target.host} has no address")
    for family, address in addresses:
        connected = socket.socket(family, socket.SOCK_STREAM)
        try:
            connected.settimeout(_left(deadline))
            connected.connect(address)
            if target.scheme == "https":
                connected.settimeout(_left(deadline))
                connected = _tls().wrap_socket(connected, server_hostname=target.host)
        except OSError as error:
            connected.close()
            failure = error
        else:
            return connected
    raise failure


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return left


class _BoundedReader(io.RawIOBase):
    """Reads from a socket until one deadline, and no more than `left` bytes.

    The socket's own timeout starts anew with every byte, so a server that sends slowly could hold the function up. And
    http.client has no bound of its own: it makes an object of each of the millions of headers that fit into its hundred
    lines, and to a chunk of the size -1 it reads until the server stops.
    """

    def __init__(self, connected: socket.socket, deadline: float, left: int) -> None:
        self.connected = connected
        self.deadline = deadline
        self.left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if self.left <= 0:
            raise http.client.HTTPException("the server sends more than belongs to a photo")
        self.connected.settimeout(_left(self.deadline))
        count = self.connected.recv_into(buffer, min(len(buffer), self.left))
        self.left -= count
        return count

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)
