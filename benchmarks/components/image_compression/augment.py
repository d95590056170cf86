"""Photographs as they might have been: turned, and paler."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_FADED = 0.7


def varied(images: Tensor) -> Tensor:
    """Turn and mirror a batch (n, 3, h, w) at random, and fade the colours of each image."""
    return _faded(_turned(images))


def _turned(images: Tensor) -> Tensor:
    turns, mirrored = torch.randint(4, ()), torch.randint(2, ())
    turned = images.rot90(int(turns), (2, 3))
    return turned.mT if mirrored else turned


def _faded(images: Tensor) -> Tensor:
    """Each image by another share on its way to grey."""
    shares = torch.rand(len(images), 1, 1, 1).to(images) * MOST_FADED
    return images.lerp(images.mean(1, keepdim=True), shares)
