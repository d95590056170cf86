"""Arithmetic of boxes: tensors (..., 4) of left, top, right, bottom in pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of (..., n, 4) with (..., m, 4): shape (..., n, m)."""
    low = torch.maximum(boxes[..., :, None, :2], others[..., None, :, :2])
    high = torch.minimum(boxes[..., :, None, 2:], others[..., None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = _area(boxes)[..., :, None] + _area(others)[..., None, :] - shared
    return shared / union.clamp(min=1e-6)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Where boxes lie as seen from anchors: shifts in anchor sizes, and logarithms of scales.

    Source: Ren et al. 2015, equation 2.
    """
    centres, sizes = _centres_and_sizes(boxes)
    anchor_centres, anchor_sizes = _centres_and_sizes(anchors)
    shifts = (centres - anchor_centres) / anchor_sizes
    return torch.cat([shifts, (sizes / anchor_sizes).log()], dim=-1)


def decode(offsets: Tensor, anchors: Tensor, size: int) -> Tensor:
    """The boxes that `encode` gives these offsets, cut to a square image of ``size`` pixels.

    A box is at most e^2 times as large as its anchor: an untrained network may ask for any size.
    """
    anchor_centres, anchor_sizes = _centres_and_sizes(anchors)
    centres = anchor_centres + offsets[..., :2] * anchor_sizes
    sizes = anchor_sizes * offsets[..., 2:].clamp(max=2).exp()
    return torch.cat([centres - sizes / 2, centres + sizes / 2], dim=-1).clamp(0, size)


def survivors(boxes: Tensor, threshold: float) -> Tensor:
    """Non-maximum suppression of boxes (..., n, 4) sorted from best to worst: a mask (..., n).

    A box stays if it overlaps no better box that stays by more than the threshold. The greedy
    loop over boxes finds the one mask of which that is true; so does repeating the sentence on
    all boxes at once until it changes nothing, mostly in a few rounds.
    """
    covers = (overlaps(boxes, boxes) > threshold).triu(1)
    stays = torch.ones_like(boxes[..., 0], dtype=torch.bool)
    while True:
        again = ~(covers & stays[..., :, None]).any(-2)
        if torch.equal(again, stays):
            return stays
        stays = again


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def _centres_and_sizes(boxes: Tensor) -> tuple[Tensor, Tensor]:
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, high - low
