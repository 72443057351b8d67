"""Hostile payloads at the endpoint: no server error, no process lost, no memory kept, and the next photo as before."""

import base64
import json
import random
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.ml.claims import claims
from tests.ml.pictures import encoded, lossless, lossy, png, scanned
from tests.security import images
from tests.security.serving import Caller, Container, container

FUZZED, THOUSAND, CALLERS, SEED = 10_000, 1000, 4, 20261126
KEPT_MEGABYTES = 16


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """Small, and with something in it."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((96, 72))


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    with container(tmp_path_factory.mktemp("container")) as started:
        yield started


@pytest.fixture(scope="module")
def right(serving: Container, photo: Image.Image) -> str:
    """What the container answers to a good photo before anything hostile was sent."""
    status, text = Caller(serving.port).ask(encoded(photo, "JPEG"))
    assert (status, len(json.loads(text)["scores"][0])) == (200, 133)
    return text


@pytest.fixture
def caller(serving: Container, right: str, photo: Image.Image) -> Iterator[Caller]:
    """A caller; afterwards the same process still answers a good photo as it did at first."""
    one = Caller(serving.port)
    yield one
    assert serving.process.is_running()
    assert one.ask(encoded(photo, "JPEG")) == (200, right)


BOMBS = images.bombs() | {f"claim of 200 megapixels, {name}": data for name, data in claims().items()}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
def test_refuses_a_decompression_bomb(caller: Caller, serving: Container, data: bytes) -> None:
    before = serving.megabytes()
    status, text = caller.ask(data)
    assert status == 422, text
    assert serving.megabytes() - before < KEPT_MEGABYTES


def test_gives_back_the_memory_of_the_largest_photo_it_takes(caller: Caller, serving: Container) -> None:
    side = 8000
    largest = png(struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0), bytes((1 + side // 8) * side))
    before = serving.megabytes()
    assert [caller.ask(largest)[0] for _ in range(2)] == [200, 200]
    assert serving.megabytes() - before < KEPT_MEGABYTES


def test_refuses_a_jpeg_of_more_scans_than_it_could_ever_read(caller: Caller) -> None:
    status, text = caller.ask(scanned(Image.new("L", (4000, 4000), "grey"), 20_000))
    assert (status, "scans" in text) == (422, True)


@pytest.mark.parametrize("kind", images.KINDS)
@pytest.mark.parametrize("size", [(1, 50_000), (50_000, 1)], ids=["1x50000", "50000x1"])
def test_answers_a_thread_of_pixels(caller: Caller, kind: str, size: tuple[int, int]) -> None:
    width, height = (min(side, 16_383) for side in size) if kind == "WEBP" else size  # the most it can have
    assert caller.ask(images.of(kind, Image.new("RGB", (width, height), "brown")))[0] == 200


@pytest.mark.parametrize("kind", images.KINDS)
def test_no_length_of_a_file_cut_short_is_a_server_error(caller: Caller, photo: Image.Image, kind: str) -> None:
    file = images.of(kind, photo)
    cuts = sorted({*range(32), *(len(file) * part // 40 for part in range(40))})
    answers = Counter(caller.ask(file[:cut])[0] for cut in cuts)
    assert answers.keys() <= {200, 422}
    assert answers[422] > len(cuts) // 2


@pytest.mark.parametrize("kind", images.KINDS)
def test_no_flipped_bit_is_a_server_error(caller: Caller, photo: Image.Image, kind: str) -> None:
    chance = random.Random(SEED)
    for _ in range(40):
        file = bytearray(images.of(kind, photo))
        for _ in range(chance.choice((1, 1, 8))):
            file[chance.randrange(len(file))] ^= 1 << chance.randrange(8)
        assert caller.ask(bytes(file))[0] in {200, 422}


POLYGLOTS = images.polyglots(Image.new("RGB", (40, 30), "brown"))


@pytest.mark.parametrize(("data", "statuses"), POLYGLOTS.values(), ids=POLYGLOTS.keys())
def test_takes_a_polyglot_for_the_photo_it_is_or_for_none(caller: Caller, data: bytes, statuses: set[int]) -> None:
    assert caller.ask(data)[0] in statuses


NO_PHOTOS = images.no_photos()


@pytest.mark.parametrize("data", NO_PHOTOS.values(), ids=NO_PHOTOS.keys())
@pytest.mark.parametrize("content_type", ["image/jpeg", "image/webp"])
def test_what_is_no_photo_is_the_callers_error(caller: Caller, data: bytes, content_type: str) -> None:
    assert caller.ask(data, Content_Type=content_type)[0] == 422


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html",
        "image/svg+xml",
        "image/tiff",
        "image/jpegs",
        "application/octet-stream",
        "application/x-npy",
        "multipart/form-data; boundary=a",
        "image/jpeg, text/html",
        "",
        "; image/jpeg",
        "a" * 10_000,
    ],
)
def test_refuses_another_content_type(caller: Caller, photo: Image.Image, content_type: str) -> None:
    assert caller.ask(encoded(photo, "JPEG"), Content_Type=content_type)[0] == 415


@pytest.mark.parametrize("content_type", ["application/json", "text/csv"])
def test_a_photo_that_is_called_a_text_is_the_callers_error(
    caller: Caller, photo: Image.Image, content_type: str
) -> None:
    assert caller.ask(encoded(photo, "JPEG"), Content_Type=content_type)[0] == 400
    assert caller.ask(b"{}", Content_Type=content_type)[0] == 415


@pytest.mark.parametrize("length", ["-1", "much", "1e3", "\u00b2"])
def test_a_length_that_is_none_is_the_callers_error(caller: Caller, serving: Container, length: str) -> None:
    assert Caller(serving.port).ask(b"", Content_Length=length)[0] == 400


def test_refuses_to_answer_in_another_format(caller: Caller, photo: Image.Image) -> None:
    assert caller.ask(encoded(photo, "JPEG"), Accept="text/csv")[0] == 406


@pytest.mark.timeout(1800)  # two minutes where nobody else is at work
def test_ten_thousand_fuzzed_payloads_are_no_server_error_and_leave_nothing_behind(
    caller: Caller, serving: Container, photo: Image.Image, tmp_path: Path
) -> None:
    small = photo.resize((24, 18))
    sources = [data for data, _ in (lossless(small) | lossy(small)).values()]
    here = threading.local()

    def ask(payload: bytes) -> int:
        if not hasattr(here, "caller"):
            here.caller = Caller(serving.port)
        try:
            status: int = here.caller.ask(payload)[0]
        except OSError as error:
            status = 599
            print(repr(error))
        if status not in {200, 422}:
            (tmp_path / "payload").write_bytes(payload)
            pytest.fail(f"{status} to {tmp_path / 'payload'}: {base64.b64encode(payload[:300]).decode()}...")
        return status

    answers: Counter[int] = Counter()
    megabytes = []
    fuzzed = images.mutants(sources, FUZZED, SEED)
    with ThreadPoolExecutor(CALLERS) as pool:
        for _ in range(FUZZED // THOUSAND):
            answers.update(pool.map(ask, [next(fuzzed) for _ in range(THOUSAND)]))
            megabytes.append(serving.megabytes())
    assert answers.total() == FUZZED
    assert answers[422] > FUZZED // 4
    assert megabytes[-1] - megabytes[1] < KEPT_MEGABYTES, megabytes
