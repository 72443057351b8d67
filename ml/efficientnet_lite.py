"""EfficientNet-Lite0, the network whose ImageNet weights the `efficientnet_lite0` backbone loads.

Mobile inverted bottlenecks without squeeze-and-excitation and with ReLU6: Tan and Le 2019 (arXiv:1905.11946) and the
TensorFlow release `efficientnet/lite`. It is written out here so that a job needs nothing beyond its container, and
keeps the underscored names of the published PyTorch state_dict. Its input is square, its side a multiple of 32.
"""

from torch import Tensor, nn
from torch.nn.functional import pad, relu6

# repeats, kernel, stride of the first repeat, expansion, channels in, channels out
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME pads: with stride 2, one pixel more at the right and the bottom."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1):
        symmetric = kernel // 2 if stride == 1 else 0
        super().__init__(channels_in, channels_out, kernel, stride, padding=symmetric, groups=groups, bias=False)
        before = (kernel - stride) // 2
        after = kernel - stride - before
        self.margins = None if stride == 1 else (before, after, before, after)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels_in, h, w) to (n, channels_out, h / stride, w / stride)."""
        return super().forward(pad(x, self.margins) if self.margins else x)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class Bottleneck(nn.Module):
    """Expand, filter each channel by itself, project back; a shortcut where the shapes allow one."""

    def __init__(self, kernel: int, stride: int, expansion: int, channels_in: int, channels_out: int):
        super().__init__()
        hidden = channels_in * expansion
        self.expands = expansion > 1
        self.shortcut = stride == 1 and channels_in == channels_out
        if self.expands:
            self._expand_conv = SameConv(channels_in, hidden, 1)
            self._bn0 = _norm(hidden)
        self._depthwise_conv = SameConv(hidden, hidden, kernel, stride, groups=hidden)
        self._bn1 = _norm(hidden)
        self._project_conv = SameConv(hidden, channels_out, 1)
        self._bn2 = _norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels_in, h, w) to (n, channels_out, h / stride, w / stride)."""
        wide = relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        filtered = relu6(self._bn1(self._depthwise_conv(wide)))
        y: Tensor = self._bn2(self._project_conv(filtered))
        return x + y if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """The network up to its pooled features, without the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, 32, 3, stride=2)
        self._bn0 = _norm(32)
        self._blocks = nn.ModuleList(
            Bottleneck(
                kernel, 1 if repeat else stride, expansion, channels_out if repeat else channels_in, channels_out
            )
            for repeats, kernel, stride, expansion, channels_in, channels_out in STAGES
            for repeat in range(repeats)
        )
        self._conv_head = SameConv(320, 1280, 1)
        self._bn1 = _norm(1280)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, side, side) to (n, 1280)."""
        x = relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return relu6(self._bn1(self._conv_head(x))).mean((2, 3))
