"""Asking the deployed function about a photo."""

import base64
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from kennel.local.aws import LocalAws
from kennel.local.errors import KennelError, RunFailedError
from kennel.local.state import Home

ALIAS = "live"
# A Lambda event holds 6 MB; base64 makes 4 bytes of 3, and the JSON around it needs a few.
LARGEST_PHOTO_BYTES = 4_500_000
SMALLER_PIXELS = 1600
FORMATS = ("JPEG", "PNG", "GIF", "WEBP")  # what the function takes
TYPES = "JPEG, PNG, GIF or WebP"
NOTHING_DEPLOYED = 'No classifier is deployed yet: run "kennel demo" first.'


@dataclass(frozen=True)
class Guess:
    """One label, and how sure the model is of it: 0 to 1."""

    label: str
    probability: float


def deployed(home: Home) -> LocalAws:
    """The running local AWS. Raises KennelError when there is none to ask."""
    if not home.localaws.exists():
        raise KennelError(NOTHING_DEPLOYED)
    return LocalAws.running(home)


def event(photo: str) -> dict[str, str]:
    """The function's event for an http(s) URL or a file of this machine.

    Raises KennelError when the file is not there or of no type in FORMATS.
    """
    if photo.startswith(("http://", "https://")):
        return {"url": photo}
    path = Path(photo)
    if not path.is_file():
        raise KennelError(f"There is no file {photo}: give a {TYPES} photo, or a photo's https address.")
    return {"image": base64.b64encode(_content(path)).decode()}


def ask(aws: LocalAws, question: dict[str, str]) -> list[Guess]:
    """The function's best guesses, best first.

    Raises KennelError when nothing is deployed or the function refuses the photo, RunFailedError when it fails.
    """
    functions = aws.client("lambda", read_timeout=90, retries={"max_attempts": 0})
    try:
        answer = functions.invoke(FunctionName=aws.names.function, Qualifier=ALIAS, Payload=json.dumps(question))
    except functions.exceptions.ResourceNotFoundException:
        raise KennelError(NOTHING_DEPLOYED) from None
    result: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        reason = result.get("errorMessage", answer["FunctionError"])
        raise RunFailedError(f'The function failed: {reason}; see "kennel logs {aws.names.function}".')
    if result["statusCode"] != 200:
        refusal = f"The function refused ({result['statusCode']}): {json.loads(result['body'])['error']['message']}."
        raise KennelError(refusal) if result["statusCode"] < 500 else RunFailedError(refusal)
    return [Guess(**guess) for guess in result["predictions"]]


def _content(path: Path) -> bytes:
    """The file as it is, or as a smaller WebP when an event could not hold it."""
    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if len(content) <= LARGEST_PHOTO_BYTES:
                return content
            print(
                f"{path.name} is too large for an event: asking about a copy of {SMALLER_PIXELS} pixels.",
                file=sys.stderr,
            )
            image.thumbnail((SMALLER_PIXELS, SMALLER_PIXELS))
            smaller = io.BytesIO()
            copy = image.convert("RGBA" if image.has_transparency_data else "RGB")
            copy.save(smaller, "WEBP", quality=90, exif=image.info.get("exif", b""))  # it says which way is up
            return smaller.getvalue()
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        raise KennelError(f"{path} is not a readable {TYPES} image: give another photo.") from None
