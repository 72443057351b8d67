import base64
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from invoke_endpoint.errors import (
    BadRequestError,
    EndpointError,
    PhotoTooLargeError,
    UnreadableImageError,
    UnsupportedTypeError,
)
from invoke_endpoint.fetch import MAX_BYTES
from invoke_endpoint.logic import Request, decode, image_type, rank, read_scores


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "https://example.com/dog.jpg",
        {},
        {"url": ""},
        {"URL": "https://example.com/dog.jpg"},
        {"url": None, "image": None},
        {"url": "https://example.com/dog.jpg", "image": "AAAA"},
        {"url": 5},
        {"image": ["AAAA"]},
    ],
)
def test_refuses_input_without_exactly_one_photo(document: object) -> None:
    with pytest.raises(BadRequestError):
        Request.parse(document)


@pytest.mark.parametrize("top_k", [0, -1, 2.0, "3", True, [], {}])
def test_refuses_a_top_k_that_is_no_count(top_k: object) -> None:
    with pytest.raises(BadRequestError, match="top_k"):
        Request.parse({"url": "https://example.com/dog.jpg", "top_k": top_k})


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://bucket.example/a.jpg?X-Amz-Signature=secret", "https://bucket.example/a.jpg"),
        ("https://bucket.example/a.jpg#secret", "https://bucket.example/a.jpg"),
        ("https://user:secret@bucket.example/a.jpg", "https://bucket.example/a.jpg"),
        ("https://user:secret@other@bucket.example/a.jpg", "https://bucket.example/a.jpg"),
        ("x" * 10_000, "x" * 500),
    ],
)
def test_the_source_it_logs_holds_no_secret(url: str, source: str) -> None:
    assert Request.parse({"url": url}).source == source


def test_decodes_base64_in_one_line_or_wrapped(photo: bytes) -> None:
    assert decode(base64.b64encode(photo).decode()) == photo
    assert decode(base64.encodebytes(photo).decode()) == photo


@pytest.mark.parametrize("image", ["AAA", "AA*=", "data:image/png;base64,AAAA", "\u00e4\u00e4\u00e4\u00e4"])
def test_refuses_what_is_not_base64(image: str) -> None:
    with pytest.raises(BadRequestError, match="base64"):
        decode(image)


def test_takes_exactly_the_largest_image() -> None:
    assert len(decode(base64.b64encode(bytes(MAX_BYTES)).decode())) == MAX_BYTES
    with pytest.raises(PhotoTooLargeError):
        decode(base64.b64encode(bytes(MAX_BYTES + 1)).decode())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_tells_a_photos_type_from_its_bytes(image_of: Callable[[str], bytes], kind: str) -> None:
    assert image_type(image_of(kind)) == f"image/{kind.lower()}"


def test_knows_the_older_gif() -> None:
    assert image_type(b"GIF87a...") == "image/gif"


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "AVIF", "JPEG2000", "ICO"])
def test_knows_other_images(image_of: Callable[[str], bytes], kind: str) -> None:
    with pytest.raises(UnsupportedTypeError, match="the photo is not a JPEG, PNG, GIF or WebP image"):
        image_type(image_of(kind))


@pytest.mark.parametrize(
    "first_bytes",
    [
        b"MM\0*",
        b"\0\0\0\x18ftypheic",
        b"\0\0\0\x1cftypmif1",
        b"\0\0\0\x0cJXL \r\n\x87\n",
        b"\xff\x0a",
        b"\xff\x4f\xff\x51",
        b"8BPS",
    ],
)
def test_knows_the_first_bytes_of_other_images(first_bytes: bytes) -> None:
    with pytest.raises(UnsupportedTypeError):
        image_type(first_bytes)


@pytest.mark.parametrize(
    "data",
    [b"", b"<!doctype html>", b"\xff\xd8", b"\x89PNG\n", b"GIF", b"GIF90a", b"RIFF\0\0\0\0WAVEfmt ", b" \xff\xd8\xff"],
)
def test_knows_what_is_no_image(data: bytes) -> None:
    with pytest.raises(UnreadableImageError):
        image_type(data)


def test_reads_the_endpoints_scores() -> None:
    assert read_scores('{"scores": [[1, -2.5]], "labels": ["Pug", "Saluki"]}') == ([1.0, -2.5], ["Pug", "Saluki"])


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "<html>",
        "null",
        "[]",
        {"scores": [[1.0]]},
        {"scores": [], "labels": []},
        {"scores": [[]], "labels": []},
        {"scores": [1.0], "labels": ["Pug"]},
        {"scores": [["high"]], "labels": ["Pug"]},
        {"scores": [[1.0], [2.0]], "labels": ["Pug"]},
        {"scores": [[1.0, 2.0]], "labels": ["Pug"]},
        {"scores": [[math.nan]], "labels": ["Pug"]},
        {"scores": [[math.inf]], "labels": ["Pug"]},
        {"scores": [[1.0]], "labels": None},
    ],
)
def test_an_answer_of_another_shape_is_the_endpoints_failure(answer: Any) -> None:
    with pytest.raises(EndpointError):
        read_scores(answer if isinstance(answer, str) else json.dumps(answer))


def test_ranks_by_the_softmax_of_the_scores() -> None:
    ranked = rank([math.log(1), math.log(6), math.log(3)], ["Beagle", "Pug", "Saluki"])
    assert [prediction["label"] for prediction in ranked] == ["Pug", "Saluki", "Beagle"]
    assert [prediction["probability"] for prediction in ranked] == pytest.approx([0.6, 0.3, 0.1])


@pytest.mark.parametrize("scores", [[1e308, -1e308], [1000.0, 1001.0], [-1e9, -1e9 - 1], [0.0] * 133])
def test_probabilities_sum_to_one_whatever_the_scores(scores: list[float]) -> None:
    ranked = rank(scores, [str(place) for place in range(len(scores))])
    assert math.fsum(prediction["probability"] for prediction in ranked) == pytest.approx(1)
