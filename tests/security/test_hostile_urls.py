"""Hostile URLs, names and redirects: the function answers its documented code, and asks nobody inside.

Each case is one invocation in a process of its own, which has 6 s and 64 MB for it; the photo's server is a real one
that plays the attacker. The attacker owns the internet: each name resolves as he likes. What the function connects to
is written down, and it must never be anything but a public address.
"""

import functools

import pytest

from tests.security.attacker import ADDRESS, HOST, Names, Pieces, World
from tests.security.conftest import ANSWERED, BAD, FORBIDDEN, LATE, UNAVAILABLE, Refusal, check

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
