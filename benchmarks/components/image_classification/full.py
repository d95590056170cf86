"""ResNet-50 for ImageNet, in the variant that benchmarks call v1.5."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.components._full import FullModel
from benchmarks.components.image_classification.model import convolution

EXPANSION = 4


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut (He et al., 2015, figure 5).

    The stride is in the 3 x 3 convolution, where the paper has it in the first 1 x 1: v1.5.
    """

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        channels_out = EXPANSION * width
        self.first = convolution(channels_in, width, 1, 1)
        self.second = convolution(width, width, 3, stride)
        self.third = convolution(width, channels_out, 1, 1)
        same = channels_in == channels_out
        self.shortcut = nn.Identity() if same else convolution(channels_in, channels_out, 1, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, 4 * width, h / stride, w / stride)."""
        hidden = functional.relu(self.second(functional.relu(self.first(inputs))))
        return functional.relu(self.third(hidden) + self.shortcut(inputs))


class ResNet50(nn.Sequential):
    """Maps (n, 3, 224, 224) to (n, classes): stages of 3, 4, 6 and 3 blocks (there: table 1)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__(
            convolution(3, 64, 7, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
            _stage(64, 64, blocks=3, stride=1),
            _stage(256, 128, blocks=4, stride=2),
            _stage(512, 256, blocks=6, stride=2),
            _stage(1024, 512, blocks=3, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2048, classes),
        )


def _stage(channels_in: int, width: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(channels_in, width, stride)
    others = (Bottleneck(EXPANSION * width, width, 1) for _ in range(blocks - 1))
    return nn.Sequential(first, *others)


FULL = FullModel(
    build=ResNet50,
    published_parameters=25_557_032,
    source="He et al., Deep Residual Learning for Image Recognition, 2015, table 1; weights and "
    "multiply-accumulates as torchvision publishes them of its resnet50",
    inputs=lambda: (torch.empty(1, 3, 224, 224, device="meta"),),
    published_macs=4_089_000_000,
)
