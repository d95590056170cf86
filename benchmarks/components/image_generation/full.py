"""The Wasserstein GAN of perceptrons for bedrooms of 64 x 64 pixels."""

from __future__ import annotations

import math

from torch import nn

from benchmarks.components._full import FullModel
from benchmarks.components.image_generation.model import WassersteinGan

LATENTS = 100
IMAGE = (3, 64, 64)


def perceptron_gan() -> WassersteinGan:
    """Two perceptrons of four layers (Arjovsky et al., 2017, section 4.3)."""
    pixels = math.prod(IMAGE)
    generator = nn.Sequential(*_perceptron(LATENTS, pixels), nn.Unflatten(1, IMAGE))
    critic = nn.Sequential(nn.Flatten(), *_perceptron(pixels, 1), nn.Flatten(0))
    return WassersteinGan(generator, critic)


def _perceptron(inputs: int, outputs: int, width: int = 512) -> list[nn.Module]:
    hidden = [nn.Linear(inputs, width), nn.ReLU()]
    for _ in range(2):
        hidden += [nn.Linear(width, width), nn.ReLU()]
    return [*hidden, nn.Linear(width, outputs)]


FULL = FullModel(
    build=perceptron_gan,
    published_parameters=6_881_000 + 6_818_000,
    source="AIBench Training's report: generator and critic of the Wasserstein GAN are perceptrons "
    "of 4 layers with 512 units; 6.881 M and 6.818 M weights, counted from that description",
    within=1e-4,
)
