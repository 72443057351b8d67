"""From a request to predictions; knows nothing of how Lambda was called."""

import base64
import json
import math
import re
import time
from typing import Any, NamedTuple, TypedDict

from .config import Settings
from .endpoint import FAILED, Runtime
from .errors import BadRequestError, EndpointError, PhotoTooLargeError, UnreadableImageError, UnsupportedTypeError
from .fetch import MAX_BYTES, MAX_SECONDS, fetch

DEFAULT_TOP_K = 5
WRAPPING = b" \t\r\n"
# The first bytes of the types that the endpoint takes.
IMAGE_TYPES = {
    rb"\xff\xd8\xff": "image/jpeg",
    rb"\x89PNG\r\n\x1a\n": "image/png",
    rb"GIF8[79]a": "image/gif",
    rb"RIFF....WEBP": "image/webp",
}
# Other images: BMP, TIFF, AVIF and HEIC (videos begin so too), JPEG 2000, JPEG XL, icons, Photoshop.
OTHER_IMAGES = rb"BM|II[*+]\0|MM\0[*+]|....ftyp|\0\0\0\x0c(jP  |JXL )|\xff\x4f\xff\x51|\xff\x0a|\0\0[\1\2]\0|8BPS"


class Prediction(TypedDict):
    """One class and how sure the model is of it."""

    label: str
    probability: float


class Request(NamedTuple):
    """What a caller asks: about the photo at `url`, or about `image` (base64), one of which is set."""

    url: str | None
    image: str | None
    top_k: int | None

    @classmethod
    def parse(cls, document: object) -> "Request":
        """Raises BadRequestError saying what is wrong with the document."""
        if not isinstance(document, dict):
            raise BadRequestError('the input must be a JSON object such as {"url": "https://example.com/dog.jpg"}')
        url, image, top_k = (document.get(key) for key in ("url", "image", "top_k"))
        if bool(url) == bool(image):
            raise BadRequestError("the input must have either `url`, a photo's https address, or `image`, its base64")
        if not isinstance(url or image, str):
            raise BadRequestError("`url` and `image` must be text")
        if top_k is not None and (type(top_k) is not int or top_k < 1):  # a bool is an int, but no number of classes
            raise BadRequestError("`top_k` must be a whole number from 1 to the number of classes")
        return cls(url or None, image or None, top_k)

    @property
    def source(self) -> str:
        """Where the photo comes from, fit for a log: presigned addresses carry their secret in the query string."""
        if self.url is None:
            return "image"
        return re.sub(r"//[^/]*@", "//", re.split(r"[?#]", self.url, maxsplit=1)[0])[:500]


class Classification(NamedTuple):
    """`result` is the endpoint's answer as it came; `facts` are for the log."""

    scores: list[float]
    predictions: list[Prediction]
    result: str
    facts: dict[str, Any]


def classify(request: Request, settings: Settings, runtime: Runtime, seconds: float) -> Classification:
    """Fetches or decodes the photo and asks the endpoint, in at most `seconds`; raises InvocationError."""
    started = time.monotonic()
    photo = (
        decode(request.image)
        if request.image is not None
        else fetch(request.url or "", settings.allowed_hosts, min(MAX_SECONDS, seconds))
    )
    content_type = image_type(photo)
    fetched = time.monotonic()
    result = runtime.invoke(settings, photo, content_type, max(seconds - (fetched - started), 0.1))
    answered = time.monotonic()
    scores, labels = read_scores(result)
    if request.top_k is not None and request.top_k > len(labels):
        raise BadRequestError(f"`top_k` must be a whole number from 1 to {len(labels)}, the number of classes")
    facts = {
        "photo_bytes": len(photo),
        "photo_type": content_type,
        "photo_milliseconds": round((fetched - started) * 1000),
        "endpoint_milliseconds": round((answered - fetched) * 1000),
    }
    return Classification(scores, rank(scores, labels)[: request.top_k or DEFAULT_TOP_K], result, facts)


def decode(image: str) -> bytes:
    """The bytes of a base64 text, in one line or wrapped."""
    try:
        text = image.encode("ascii").translate(None, WRAPPING)
        if len(text) * 3 // 4 - text[-2:].count(b"=") > MAX_BYTES:
            raise PhotoTooLargeError(f"the photo is larger than {MAX_BYTES // 2**20} MiB")
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadRequestError("`image` must be the base64 of a JPEG, PNG, GIF or WebP file") from error


def image_type(photo: bytes) -> str:
    """The media type that the first bytes tell, whatever the sender called it."""
    for first_bytes, media_type in IMAGE_TYPES.items():
        if re.match(first_bytes, photo, re.DOTALL):
            return media_type
    if re.match(OTHER_IMAGES, photo, re.DOTALL):
        raise UnsupportedTypeError("the photo is not a JPEG, PNG, GIF or WebP image", first_bytes=photo[:16].hex())
    raise UnreadableImageError("the photo cannot be read: it is broken, or not an image", first_bytes=photo[:16].hex())


def read_scores(result: str) -> tuple[list[float], list[str]]:
    """Scores and labels of the one photo in `{"scores": [[...]], "labels": [...]}`; raises EndpointError."""
    try:
        answer = json.loads(result)
        [row], labels = answer["scores"], answer["labels"]
        scores = [float(score) for score in row]
        if not scores or len(scores) != len(labels) or not all(map(math.isfinite, scores)):
            raise ValueError(f"{len(scores)} scores for {len(labels)} labels, or a score that is no number")
        return scores, [str(label) for label in labels]
    except (ValueError, TypeError, KeyError) as error:
        raise EndpointError(FAILED, cause=repr(error), answer=result[:500]) from error


def rank(scores: list[float], labels: list[str]) -> list[Prediction]:
    """All classes with the softmax of their scores, best first."""
    highest = max(scores)
    weights = [math.exp(score - highest) for score in scores]  # the highest is 1, so nothing overflows
    total = sum(weights)
    predictions = [
        Prediction(label=label, probability=weight / total) for label, weight in zip(labels, weights, strict=True)
    ]
    return sorted(predictions, key=lambda prediction: -prediction["probability"])
