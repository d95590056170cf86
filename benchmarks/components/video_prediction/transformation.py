"""Convolutional dynamic neural advection: the next frame as moved parts of the last one."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

_LEAST = 1e-6


def normalised(kernels: Tensor) -> Tensor:
    """Make kernels (..., k, k) of any numbers positive, with sums of 1: they only move things."""
    positive = functional.relu(kernels) + _LEAST
    return positive / positive.sum(dim=(-2, -1), keepdim=True)


def moved(frames: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each frame with its own kernels (Finn et al., 2016, equation 1).

    Maps frames (n, c, h, w) and kernels (n, m, k, k) to (n, m, c, h, w); what comes in at the
    border is black.
    """
    n, channels, height, width = frames.shape
    n_kernels, size = kernels.shape[1:3]
    # The frames as channels of one picture, and one group of kernels for each.
    by_colour = frames.transpose(0, 1)
    weights = kernels.flatten(0, 1).unsqueeze(1)
    pictures = functional.conv2d(
        by_colour.reshape(channels, n, height, width), weights, padding=size // 2, groups=n
    )
    return pictures.view(channels, n, n_kernels, height, width).permute(1, 2, 0, 3, 4)


def composed(parts: Tensor, masks: Tensor) -> Tensor:
    """Lay parts (n, m, c, h, w) over each other by masks (n, m, h, w) with sums of 1: (n, c, h, w).

    Equation 2 of the paper.
    """
    return (parts * masks.unsqueeze(2)).sum(dim=1)
