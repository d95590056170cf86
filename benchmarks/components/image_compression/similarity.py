"""How unlike images look, with gradients: what the codec learns to lower."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

WINDOW = 11
SIGMA = 1.5
WEIGHTS = (0.136, 0.864)
"""Of whole and halved images: the first two of Wang et al. (2003), scaled to a sum of 1."""

LUMINANCE_FLOOR = 0.01**2
CONTRAST_FLOOR = 0.03**2


def dissimilarity(images: Tensor, others: Tensor) -> Tensor:
    """What images (n, 3, h, w) with values in [0, 1] lack of likeness; 0 where they are the same.

    It is 1 minus multi-scale structural similarity of two scales (Wang, Simoncelli and Bovik,
    2003), but with the sum of the scales for their product, whose gradient vanishes with one scale.
    """
    _, contrast = _similarity(images, others)
    whole, _ = _similarity(functional.avg_pool2d(images, 2), functional.avg_pool2d(others, 2))
    return 1 - WEIGHTS[0] * contrast - WEIGHTS[1] * whole


def _similarity(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Structural similarity, and its part without the luminance, of each image."""
    mean_one, mean_other = _blurred(one), _blurred(other)
    variances = _blurred(one**2 + other**2) - mean_one**2 - mean_other**2
    covariance = _blurred(one * other) - mean_one * mean_other
    contrast = (2 * covariance + CONTRAST_FLOOR) / (variances + CONTRAST_FLOOR)
    luminance = (2 * mean_one * mean_other + LUMINANCE_FLOOR) / (
        mean_one**2 + mean_other**2 + LUMINANCE_FLOOR
    )
    return (luminance * contrast).mean((1, 2, 3)), contrast.mean((1, 2, 3))


def _blurred(images: Tensor) -> Tensor:
    """Means under a Gaussian window where all of it lies in the image; height and width swapped."""
    height, width = (_windows(extent).to(images) for extent in images.shape[-2:])
    return (images @ width).mT @ height


def _windows(extent: int) -> Tensor:
    """A matrix (extent, places) with the window's weights at each place it fits."""
    centres = torch.arange(WINDOW // 2, extent - WINDOW // 2)
    offsets = torch.arange(extent).unsqueeze(1) - centres
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2)) * (offsets.abs() <= WINDOW // 2)
    return weights / weights.sum(0)
