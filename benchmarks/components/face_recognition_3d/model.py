"""A residual network for pictures with a depth channel."""

from __future__ import annotations

from torch import nn

from benchmarks.components.image_classification.model import ResidualBlock


class DepthResNet(nn.Sequential):
    """Stem that halves the picture, three residual blocks, global mean, linear classifier.

    Maps (n, 2, h, w) of intensity and depth to (n, classes). Depth is one more channel of the
    first convolution, as in AIBench's residual network for colour and depth.
    """

    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__(
            nn.Conv2d(2, width, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            ResidualBlock(width, width, 1),
            ResidualBlock(width, 2 * width, 2),
            ResidualBlock(2 * width, 4 * width, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, classes),
        )
