"""CycleGAN: two generators that translate pictures there and back, two judges of patches."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


class CycleGan(nn.Module):
    """Generators from photographs to labels and back, and a discriminator of each kind of picture.

    After Zhu et al. (2017), section 4 and appendix 7.2. Pixels are in [0, 1].
    """

    def __init__(
        self, *, width: int, halvings: int, blocks: int, kernel: int, judge_halvings: int
    ) -> None:
        super().__init__()
        self.to_labels, self.to_photos = (
            generator(width, halvings, blocks, kernel) for _ in range(2)
        )
        self.judge_of_labels, self.judge_of_photos = (
            discriminator(width, judge_halvings) for _ in range(2)
        )

    def forward(self, photos: Tensor) -> Tensor:
        """Translate photographs, (n, 3, height, width), to pictures of their labels."""
        labels: Tensor = self.to_labels(photos)
        return labels


class ResidualBlock(nn.Module):
    """Two convolutions, and what went into them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            *_convolution(channels, channels, 3), nn.ReLU(), *_convolution(channels, channels, 3)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """The inputs and their change."""
        changed: Tensor = inputs + self.change(inputs)
        return changed


def generator(width: int, halvings: int, blocks: int, kernel: int) -> nn.Sequential:
    """A translator: pictures are halved, changed by residual blocks, and doubled again.

    Args:
        width: Channels at full size; each halving doubles them.
        halvings: How often.
        blocks: Residual blocks on the smallest picture.
        kernel: Pixels of the first and the last convolution, each way.
    """
    widths = [width << halving for halving in range(halvings + 1)]
    layers = [*_convolution(3, width, kernel), nn.ReLU()]
    for wide, wider in pairwise(widths):
        halved = nn.Conv2d(wide, wider, 3, stride=2, padding=1)
        layers += [halved, nn.InstanceNorm2d(wider), nn.ReLU()]
    layers += [ResidualBlock(widths[-1]) for _ in range(blocks)]
    for wider, wide in pairwise(reversed(widths)):
        doubled = nn.ConvTranspose2d(wider, wide, 3, stride=2, padding=1, output_padding=1)
        layers += [doubled, nn.InstanceNorm2d(wide), nn.ReLU()]
    last, _ = _convolution(width, 3, kernel)
    return nn.Sequential(*layers, last, nn.Sigmoid())


def discriminator(width: int, halvings: int) -> nn.Sequential:
    """A judge of overlapping patches: one number for each, near 1 where it looks real.

    Args:
        width: Channels after the first of the halvings; each further one doubles them.
        halvings: How often, before two convolutions that keep the size.
    """
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for halving in range(1, halvings + 1):
        channels, stride = width << halving, 2 if halving < halvings else 1
        convolution = nn.Conv2d(channels // 2, channels, 4, stride=stride, padding=1)
        layers += [convolution, nn.InstanceNorm2d(channels), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(width << halvings, 1, 4, padding=1))


def _convolution(channels_in: int, channels: int, kernel: int) -> list[nn.Module]:
    """A convolution that keeps the size, and its normalisation."""
    return [
        nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2, padding_mode="reflect"),
        nn.InstanceNorm2d(channels),
    ]
