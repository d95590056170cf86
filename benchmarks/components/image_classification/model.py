"""A residual network for images of a few pixels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al., 2015, figure 2).

    Where the shape changes the shortcut is a 1 x 1 convolution (there: option B).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first = convolution(channels_in, channels_out, 3, stride)
        self.second = convolution(channels_out, channels_out, 3, 1)
        same = channels_in == channels_out and stride == 1
        self.shortcut = nn.Identity() if same else convolution(channels_in, channels_out, 1, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, channels_out, h / stride, w / stride)."""
        residual = self.second(functional.relu(self.first(inputs)))
        return functional.relu(residual + self.shortcut(inputs))


class ResNet8(nn.Sequential):
    """Stem, three residual blocks that halve the image twice, global mean, linear classifier.

    Maps (n, channels, h, w) to (n, classes). With the classifier that is eight layers, the shape
    of the paper's networks for CIFAR-10 at their smallest (section 4.2 with one block a stage).
    """

    def __init__(self, channels: int = 1, classes: int = 10, width: int = 16) -> None:
        super().__init__(
            convolution(channels, width, 3, 1),
            nn.ReLU(),
            ResidualBlock(width, width, 1),
            ResidualBlock(width, 2 * width, 2),
            ResidualBlock(2 * width, 4 * width, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, classes),
        )


def convolution(channels_in: int, channels_out: int, size: int, stride: int) -> nn.Sequential:
    """A convolution that keeps the image's size but for its stride, with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(channels_out),
    )
