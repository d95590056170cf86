"""EfficientNet-Lite0: EfficientNet-B0 without squeezing and with ReLU6, for small devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

STEM, HEAD, CLASSES = 32, 1280, 1000


class Stage(NamedTuple):
    """Blocks in a row (Tan and Le, EfficientNet, 2019, table 1); the first one has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class Convolution(nn.Conv2d):
    """A convolution padded as TensorFlow's ``SAME``: an odd pixel goes to the right and below."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, ceil(h / stride), ceil(w / stride))."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        padding: list[int] = []
        for side in reversed(images.shape[2:]):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            padding += [total // 2, total - total // 2]
        return super().forward(functional.pad(images, padding))


class Block(nn.Module):
    """An inverted bottleneck (Sandler et al., MobileNetV2, 2018) of the names in the weights."""

    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        hidden = inputs * stage.expansion
        self.is_expanded = stage.expansion > 1
        if self.is_expanded:
            self.expand_conv = Convolution(inputs, hidden, 1)
            self.bn0 = _norm(hidden)
        self.depthwise_conv = Convolution(hidden, hidden, stage.kernel, stride, groups=hidden)
        self.bn1 = _norm(hidden)
        self.project_conv = Convolution(hidden, stage.channels, 1)
        self.bn2 = _norm(stage.channels)
        self.is_residual = stride == 1 and inputs == stage.channels

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, channels, h / stride, w / stride)."""
        hidden = images
        if self.is_expanded:
            hidden = functional.relu6(self.bn0(self.expand_conv(hidden)))
        hidden = functional.relu6(self.bn1(self.depthwise_conv(hidden)))
        projected: Tensor = self.bn2(self.project_conv(hidden))
        return images + projected if self.is_residual else projected


class EfficientNetLite0(nn.Module):
    """Maps normalised images (n, 3, 224, 224) to scores of ImageNet's classes (n, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = Convolution(3, STEM, 3, stride=2)
        self.bn0 = _norm(STEM)
        self.blocks = nn.Sequential(*_blocks())
        self.conv_head = Convolution(STAGES[-1].channels, HEAD, 1)
        self.bn1 = _norm(HEAD)
        self.fc = nn.Linear(HEAD, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Scores before the softmax."""
        features = functional.relu6(self.bn0(self.conv_stem(images)))
        features = functional.relu6(self.bn1(self.conv_head(self.blocks(features))))
        scores: Tensor = self.fc(features.mean(dim=(2, 3)))
        return scores


def from_published(weights: Mapping[str, Tensor]) -> EfficientNetLite0:
    """The model with the published weights, whose names have an underscore before each part.

    Raises:
        RuntimeError: A weight is missing, too many, or of another shape.
    """
    with torch.device("meta"):
        model = EfficientNetLite0()
    named = {name.removeprefix("_").replace("._", "."): value for name, value in weights.items()}
    model.load_state_dict(named, assign=True)
    return model.eval()


def _blocks() -> list[Block]:
    blocks, inputs = [], STEM
    for stage in STAGES:
        for number in range(stage.blocks):
            blocks.append(Block(inputs, stage, stage.stride if number == 0 else 1))
            inputs = stage.channels
    return blocks


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
