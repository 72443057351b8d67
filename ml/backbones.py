"""The backbones: frozen ImageNet networks that turn a photo into a vector of features.

backbone = backbones.load("resnet50", Path("weights/resnet50.pth"))
features = backbone.features([centre_crop(photo, backbone.side)])    # (1, 2048)
"""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format
from torch.nn.utils.fusion import fuse_conv_bn_eval

from efficientnet_lite import EfficientNetLite0
from photos import Crop


class WeightsError(Exception):
    """A weights file that is missing, or is not the backbone's; the message says which."""


def _resnet50() -> nn.Module:
    from torchvision.models import resnet50  # takes seconds to import, and only this backbone needs it

    network: nn.Module = resnet50(weights=None)
    network.fc = nn.Identity()
    return network


@dataclass(frozen=True)
class Spec:
    """One backbone: how to build it, and what its weights were trained to see (means and deviations of 0..255).

    `stages` has, from the photo to the features, how the name of each stage's first parameter begins.
    """

    build: Callable[[], nn.Module]
    classifier: str
    features: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    stages: tuple[str, ...]
    side: int = 224


BACKBONES = {
    "resnet50": Spec(
        _resnet50,
        "fc.",
        2048,
        (123.675, 116.28, 103.53),
        (58.395, 57.12, 57.375),
        ("conv1.", "layer1.", "layer2.", "layer3.", "layer4."),
    ),
    "efficientnet_lite0": Spec(
        EfficientNetLite0,
        "_fc.",
        1280,
        (127.0, 127.0, 127.0),
        (128.0, 128.0, 128.0),
        ("_conv_stem.", "_blocks.1.", "_blocks.3.", "_blocks.5.", "_blocks.11."),  # where the picture halves
        side=256,  # trained at 224 on parts of photos; whole ones are told apart better a little larger
    ),
}


class Pixels(nn.Module):
    """Makes of uint8 crops (n, side, side, 3) what a network was trained to see, on whatever device it is."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, spec: Spec):
        super().__init__()
        self.register_buffer("mean", torch.tensor(spec.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(spec.deviation).view(3, 1, 1), persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        """To float32 (n, 3, side, side) whose strides are channels-last."""
        return (crops.permute(0, 3, 1, 2) - self.mean) / self.deviation


class Backbone:
    """A network with its preprocessing, ready to compute features on this machine."""

    def __init__(self, spec: Spec, network: nn.Module, device: torch.device, dtype: torch.dtype):
        self.side = spec.side
        self.width = spec.features
        self._network: nn.Module = convert_conv2d_weight_memory_format(
            _folded(network.eval()).to(device, dtype), torch.channels_last
        )
        self._pixels = Pixels(spec).to(device)
        self._device, self._dtype = device, dtype

    def features(self, crops: Sequence[Crop]) -> Tensor:
        """n crops of (side, side, 3) to float32 (n, features), on the CPU; n may be 0."""
        if not crops:
            return torch.empty(0, self.width)
        return self.forward(self.pixels(crops)).float().cpu()

    @torch.inference_mode()
    def pixels(self, crops: Sequence[Crop]) -> Tensor:
        """n > 0 crops of (side, side, 3) to what the network takes, (n, 3, side, side) on its device."""
        pixels: Tensor = self._pixels(torch.from_numpy(np.stack(crops)).to(self._device))
        return pixels.to(self._dtype)

    @torch.inference_mode()
    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, side, side) to (n, features), in the network's precision and on its device."""
        features: Tensor = self._network(pixels)
        return features


def _folded(network: nn.Module) -> nn.Module:
    """The network in its eval mode, each batch norm folded into the convolution before it, which it then equals."""
    before, convolution = "", nn.Module()
    for name, module in [*network.named_modules()]:
        if isinstance(module, nn.Conv2d):
            before, convolution = name, module
        elif isinstance(module, nn.BatchNorm2d) and isinstance(convolution, nn.Conv2d):
            network.set_submodule(before, fuse_conv_bn_eval(convolution, module))
            network.set_submodule(name, nn.Identity())
    return network


def read_network(name: str, weights: Path) -> nn.Module:
    """The network of the backbone `name` with the state_dict in the file `weights`. Raises WeightsError."""
    spec = BACKBONES[name]
    network = spec.build()
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        network.load_state_dict({key: value for key, value in state.items() if not key.startswith(spec.classifier)})
    except FileNotFoundError:
        raise WeightsError(f"{weights} is missing: put the ImageNet state_dict of {name} there") from None
    except (OSError, RuntimeError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        why = " ".join(str(error).split())[:200] or "it is empty"
        raise WeightsError(f"{weights} is not a state_dict of {name}: {why}") from error
    return network


def load(name: str, weights: Path) -> Backbone:
    """The backbone `name` with the state_dict in the file `weights`, to compute features. Raises WeightsError."""
    network = read_network(name, weights)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Backbone(BACKBONES[name], network, device, _dtype(device))


def _dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on the processors that compute in it, several times as fast as float32; others would only imitate it."""
    cpuinfo = Path("/proc/cpuinfo")
    if device.type == "cpu" and cpuinfo.exists() and {"avx512_bf16", "amx_bf16"} & set(cpuinfo.read_text().split()):
        return torch.bfloat16
    return torch.float32
