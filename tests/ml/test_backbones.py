from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

import backbones
from backbones import BACKBONES, Backbone, WeightsError
from photos import Crop

CPU = torch.device("cpu")


def exact(weights: Path) -> Backbone:
    """EfficientNet-Lite0 in float32, whatever this machine is fast at."""
    spec = BACKBONES["efficientnet_lite0"]
    network = spec.build()
    state = torch.load(weights, weights_only=True)
    network.load_state_dict({key: value for key, value in state.items() if not key.startswith("_fc.")})
    return Backbone(spec, network, CPU, torch.float32)


@pytest.fixture
def crops(noise: np.random.Generator) -> list[Crop]:
    return [noise.integers(0, 256, (224, 224, 3), dtype=np.uint8) for _ in range(2)]


def test_efficientnet_lite0_computes_what_the_published_network_does(weights: Path, crops: list[Crop]) -> None:
    published = EfficientNet.from_name("efficientnet-lite0").eval()
    published.load_state_dict(torch.load(weights, weights_only=True))
    with torch.inference_mode():
        pixels = (torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() - 127) / 128
        expected = published.extract_features(pixels).mean((2, 3))
    torch.testing.assert_close(exact(weights).features(crops), expected, rtol=1e-3, atol=1e-4)


def test_the_fast_arithmetic_of_this_machine_keeps_the_features(weights: Path, crops: list[Crop]) -> None:
    fast = backbones.load("efficientnet_lite0", weights).features(crops)
    assert torch.cosine_similarity(fast, exact(weights).features(crops)).min() > 0.99


def test_resnet50_loads_a_classifiers_weights_without_the_classifier(tmp_path: Path) -> None:
    network = BACKBONES["resnet50"].build()
    torch.save(
        {**network.state_dict(), "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, tmp_path / "w.pth"
    )
    backbone = backbones.load("resnet50", tmp_path / "w.pth")
    features = backbone.features([np.full((224, 224, 3), 90, np.uint8)])
    assert (features.shape, features.dtype, backbone.width) == ((1, 2048), torch.float32, 2048)
    assert features.std() > 0


def test_no_photos_have_no_features(weights: Path) -> None:
    assert backbones.load("efficientnet_lite0", weights).features([]).shape == (0, 1280)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"gone\.pth is missing: put the ImageNet state_dict of efficientnet_lite0 there"
    ):
        backbones.load("efficientnet_lite0", tmp_path / "gone.pth")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", {"other.weight": torch.zeros(1)}, [1, 2]])
def test_weights_that_are_not_the_backbones_are_named(tmp_path: Path, content: object) -> None:
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(WeightsError, match=r"w\.pth is not a state_dict of efficientnet_lite0"):
        backbones.load("efficientnet_lite0", path)
