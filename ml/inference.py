"""Serves the classifier in SageMaker's PyTorch containers, by their contract of four functions.

Request: the bytes of a photo, `image/jpeg`, `image/png`, `image/gif` or `image/webp`. Answer, `application/json`:
`{"scores": [[-0.0179, 0.0294, ...]], "labels": ["American_bulldog", ...]}`, one raw score (a logit) a class.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import linear

import backbones
from photos import UnreadablePhotoError, centre_crop, read_photo

if TYPE_CHECKING:
    ToolkitError = Exception
else:
    try:
        # AWS's own server answers a subclass of this with its status code, anything else with 500
        from sagemaker_inference.errors import BaseInferenceToolkitError as ToolkitError
    except ModuleNotFoundError:
        ToolkitError = Exception

CONTENT_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
ACCEPTS = ("application/json", "application/*", "*/*")


class Prediction(TypedDict):
    """Scores (1, classes), and the classes' labels."""

    scores: list[list[float]]
    labels: list[str]


class RequestError(ToolkitError):
    """A request that the client must change; answered with `status_code` and the message."""

    def __init__(self, status_code: int, message: str):
        super().__init__(status_code, message, message)
        self.status_code = status_code
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Classifier:
    """A backbone with its trained head, weight (classes, features) and bias (classes,), and the classes' labels."""

    backbone: backbones.Backbone
    weight: Tensor
    bias: Tensor
    labels: list[str]


def model_fn(model_dir: str) -> Classifier:
    """Loads what the final training wrote."""
    folder = Path(model_dir)
    head = torch.load(folder / "head.pth", weights_only=True)
    backbone = backbones.load(json.loads((folder / "model.json").read_text())["backbone"], folder / "backbone.pth")
    classes: list[str] = json.loads((folder / "classes.json").read_text())
    labels = [name.partition(".")[2] or name for name in classes]  # 001.Pug is Pug
    return Classifier(backbone, head["weight"], head["bias"], labels)


def input_fn(body: bytes | bytearray, content_type: str) -> bytes:
    """The photo's bytes, which may be of another of these types than is said. Raises RequestError: 415."""
    if content_type.partition(";")[0].strip().lower() not in CONTENT_TYPES:
        raise RequestError(415, f"content type {content_type!r} is not supported: send {', '.join(CONTENT_TYPES)}")
    return bytes(body)


def predict_fn(photo: bytes, model: Classifier) -> Prediction:
    """The scores (1, classes) of the photo. Raises RequestError: 422."""
    side = model.backbone.side
    try:
        image: Image.Image = read_photo(photo, side)
    except UnreadablePhotoError as error:
        raise RequestError(422, f"the photo cannot be read: {error}") from error
    features = model.backbone.features([centre_crop(image, side)])
    return {"scores": linear(features, model.weight, model.bias).tolist(), "labels": model.labels}


def output_fn(prediction: Prediction, accept: str) -> str:
    """The answer's JSON. Raises RequestError: 406."""
    if not any(kind in accept for kind in ACCEPTS):
        raise RequestError(406, f"{accept!r} is not what this endpoint answers with: accept application/json")
    return json.dumps(prediction)
