"""A beginner's serving script, by the container's contract: PIL and torchvision, one photo at a time, eager float32.

`network.pth` in the model directory holds the network whole.
"""

import io
import json
from typing import Any

import torch
from PIL import Image
from torchvision import transforms

TRANSFORM = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)


def model_fn(model_dir: str) -> Any:
    """The whole network."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.load(f"{model_dir}/network.pth", map_location=device, weights_only=False).eval()


def input_fn(body: bytes, content_type: str) -> Any:
    """A tensor (1, 3, 224, 224)."""
    if not content_type.startswith("image/"):
        raise ValueError(f"{content_type} is not supported")
    return TRANSFORM(Image.open(io.BytesIO(body)).convert("RGB")).unsqueeze(0)


def predict_fn(image: Any, model: Any) -> Any:
    """The scores (1, classes)."""
    with torch.no_grad():
        return model(image)


def output_fn(scores: Any, accept: str) -> str:
    """The scores as JSON."""
    return json.dumps(scores.tolist())
