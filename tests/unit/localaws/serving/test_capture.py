"""Which exchanges are captured, and how their bodies are written down."""

from typing import Any

import pytest

from localaws.serving import capture
from localaws.serving.capture import Capturer, Exchange, event
from localaws.serving.variant import Variant

CONFIG: dict[str, Any] = {
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://bucket/captured",
    "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
    "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
}


def variant(**changes: Any) -> Variant:
    """A variant that captures."""
    return Variant("AllTraffic", "ml.m5.large", "image", "", {}, "role", 1, {**CONFIG, **changes})


def waiting(capturer: Capturer) -> list[Exchange]:
    """What is to be written."""
    return [exchange for *_, exchanges in capturer._exchanges.values() for exchange in exchanges]


@pytest.mark.parametrize(
    ("content_type", "body", "data", "encoding"),
    [
        ("text/csv", b"1,2", "1,2", "CSV"),
        ("Text/CSV; charset=utf-8", b"1,2", "1,2", "CSV"),
        ("application/json", b"[1]", "[1]", "JSON"),
        ("application/json", b"\xff", "/w==", "BASE64"),  # no text, whatever it says
        ("image/jpeg", b"\xff\xd8", "/9g=", "BASE64"),
    ],
)
def test_writes_as_text_what_is_configured_as_text(content_type: str, body: bytes, data: str, encoding: str) -> None:
    line = event(CONFIG, Exchange(0.0, {"Body": body, "ContentType": content_type}, b"{}", "application/json"))

    assert line["captureData"]["endpointInput"] == {
        "observedContentType": content_type,
        "mode": "INPUT",
        "data": data,
        "encoding": encoding,
    }
    assert line["captureData"]["endpointOutput"]["encoding"] == "JSON"
    assert line["eventMetadata"]["inferenceTime"] == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize(("percent", "least", "most"), [(0, 0, 0), (20, 120, 280), (100, 1000, 1000)])
def test_keeps_the_share_that_is_asked_for(percent: int, least: int, most: int) -> None:
    capturer, sampled = Capturer(), variant(InitialSamplingPercentage=percent)
    for _ in range(1000):
        capturer.add("endpoint", sampled, {"Body": b"1"}, b"2", {})

    assert least <= len(waiting(capturer)) <= most  # 200 expected of 20 %; further away once in ten billion runs


def test_keeps_nothing_when_it_is_switched_off() -> None:
    capturer = Capturer()
    capturer.add("endpoint", variant(EnableCapture=False), {"Body": b"1"}, b"2", {})

    assert waiting(capturer) == []


def test_leaves_out_what_would_take_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "PENDING_BYTES", 10)
    capturer = Capturer()
    for body in (b"1234", b"12345678", b"12"):
        capturer.add("endpoint", variant(), {"Body": body}, b"12", {})

    assert [exchange.request["Body"] for exchange in waiting(capturer)] == [b"1234", b"12"]
