"""Serve what hpo.py or train_model.py saved: a photo, or the address of one, in; a score for each breed out."""

import io
import json
import logging
import sys
from typing import Any

import requests
import torch
from PIL import Image
from torch import nn
from torchvision import models, transforms

logger = logging.getLogger(__name__)
logger.setLevel(logging.DEBUG)
logger.addHandler(logging.StreamHandler(sys.stdout))

JPEG_CONTENT_TYPE = "image/jpeg"
JSON_CONTENT_TYPE = "application/json"


def net(num_classes: int) -> Any:
    model = models.resnet18(weights=None)
    model.fc = nn.Linear(model.fc.in_features, num_classes)
    return model


def model_fn(model_dir: str) -> nn.Module:
    print("loading the model from", model_dir)
    saved: Any = torch.load(model_dir + "/model.pth", map_location="cpu", weights_only=False)
    if isinstance(saved, nn.Module):
        model = saved
    else:
        model = net(len(saved["fc.bias"]))
        model.load_state_dict(saved)
    model.eval()
    return model


def input_fn(body: Any, content_type: str = JPEG_CONTENT_TYPE) -> Any:
    logger.debug("got %s as %s", content_type, type(body))
    if content_type == JPEG_CONTENT_TYPE:
        return Image.open(io.BytesIO(body))
    if content_type == JSON_CONTENT_TYPE:
        url = json.loads(body)["url"]
        logger.info("fetching the photo")
        content = requests.get(url, timeout=10).content
        return Image.open(io.BytesIO(content))
    raise Exception(f"cannot read {content_type}")


def predict_fn(image: Any, model: nn.Module) -> torch.Tensor:
    transform = transforms.Compose([transforms.Resize((64, 64)), transforms.ToTensor()])
    with torch.no_grad():
        prediction: torch.Tensor = model(transform(image).unsqueeze(0))
    return prediction
