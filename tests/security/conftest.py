"""An internet that belongs to the attacker, and what the function may cost and answer on it."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.certificates import self_signed
from tests.security.attacker import ADDRESS, HOST, MUTE_ADDRESS, MUTE_HOST, Outcome, World, world

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
