"""Faster R-CNN for small images: one backbone, proposals of regions, and a head on each region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.components.object_detection.boxes import decode, survivors

STRIDE = 8
ANCHOR_SIZES = ((10.0, 24.0), (16.0, 18.0), (20.0, 26.0))


class Proposed(NamedTuple):
    """What the proposal network says of every anchor of n images.

    Attributes:
        scores: Logits of an object being there, shape (n, anchors).
        offsets: Where it lies as seen from the anchor (`boxes.encode`), shape (n, anchors, 4).
    """

    scores: Tensor
    offsets: Tensor


class Judged(NamedTuple):
    """What the head says of every region of n images.

    Attributes:
        scores: Logits, shape (n, regions, classes + 1); the last is of no object.
        offsets: For each class where it would lie as seen from the region, shape (n, regions,
            classes, 4).
    """

    scores: Tensor
    offsets: Tensor


class ProposalNetwork(nn.Module):
    """Tells for anchors of a few shapes at every place whether an object is there, and where.

    Ren et al. 2015, section 3.1, with one logit for an anchor where it has two.
    """

    def __init__(self, channels: int, hidden: int, shapes: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(channels, hidden, 3, padding=1)
        self.scores = nn.Conv2d(hidden, shapes, 1)
        self.offsets = nn.Conv2d(hidden, 4 * shapes, 1)

    def forward(self, features: Tensor) -> Proposed:
        """Judge the anchors of features (n, channels, h, w): h w shapes of them, shapes fastest."""
        hidden = functional.relu(self.hidden(features))
        scores = self.scores(hidden).movedim(1, -1).flatten(1)
        offsets = self.offsets(hidden).movedim(1, -1).reshape(*scores.shape, 4)
        return Proposed(scores.float(), offsets.float())


class RegionHead(nn.Module):
    """Names the class of each region, and for each class where it would lie.

    Girshick, Fast R-CNN, 2015, section 2.1: a trunk that makes a vector of a region, two layers.
    """

    def __init__(self, trunk: nn.Module, channels: int, classes: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.scores = nn.Linear(channels, classes + 1)
        self.offsets = nn.Linear(channels, 4 * classes)

    def forward(self, regions: Tensor) -> Judged:
        """Judge the pooled features of regions, (n, regions, channels, bins, bins)."""
        hidden = self.trunk(regions.flatten(0, 1)).unflatten(0, regions.shape[:2])
        offsets = self.offsets(hidden).unflatten(-1, (-1, 4))
        return Judged(self.scores(hidden).float(), offsets.float())


class TwoStageDetector(nn.Module):
    """Both stages for images of one size, (n, 3, size, size) with values in [0, 1].

    Which boxes the head sees is for the caller to say: proposals when it answers, those and the
    true boxes when it learns.

    Args:
        backbone: Makes features of images, one cell for each ``stride`` x ``stride`` pixels.
        proposal_network: The first stage.
        head: The second.
        size: Side of an image in pixels.
        stride: Side of a cell in pixels.
        anchors: Widths and heights of the anchors at each cell, in pixels.
        regions: How many proposals the head sees of an image.
        bins: Cells that a region is sampled at, each way.
    """

    anchors: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        proposal_network: ProposalNetwork,
        head: RegionHead,
        *,
        size: int,
        stride: int,
        anchors: Sequence[tuple[float, float]],
        regions: int,
        bins: int,
    ) -> None:
        super().__init__()
        self.size, self.stride, self.regions, self.bins = size, stride, regions, bins
        self.backbone, self.proposal_network, self.head = backbone, proposal_network, head
        self.register_buffer("anchors", _anchors(anchors, size, stride), persistent=False)

    def propose(self, proposed: Proposed) -> Tensor:
        """The best boxes of the first stage without near copies, shape (n, regions, 4).

        Where an image has too few, the best of the copies fill the places.
        """
        best = proposed.scores.topk(4 * self.regions).indices
        offsets = proposed.offsets.take_along_dim(best[..., None], 1)
        boxes = decode(offsets, self.anchors[best], self.size)
        stays = survivors(boxes, 0.7)
        first = (~stays).float().argsort(stable=True)[:, : self.regions]
        return boxes.take_along_dim(first[..., None], 1)

    def judge(self, features: Tensor, boxes: Tensor) -> Judged:
        """The second stage on boxes of shape (n, regions, 4)."""
        judged: Judged = self.head(roi_align(features, boxes / self.stride, self.bins))
        return judged


class FasterRCNN(TwoStageDetector):
    """The detector on a backbone of five convolutions, with a head of one hidden layer."""

    def __init__(
        self, classes: int = 5, size: int = 64, width: int = 20, regions: int = 12, bins: int = 5
    ) -> None:
        channels, hidden = 4 * width, 6 * width
        backbone = nn.Sequential(
            *_convolution(3, width, stride=2),
            *_convolution(width, 2 * width, stride=2),
            *_convolution(2 * width, 2 * width, stride=1),
            *_convolution(2 * width, channels, stride=2),
            *_convolution(channels, channels, stride=1),
        )
        proposal_network = ProposalNetwork(channels, channels, len(ANCHOR_SIZES))
        trunk = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * bins**2, hidden),
            nn.ReLU(),
            nn.Dropout(0.3),
        )
        super().__init__(
            backbone,
            proposal_network,
            RegionHead(trunk, hidden, classes),
            size=size,
            stride=STRIDE,
            anchors=ANCHOR_SIZES,
            regions=regions,
            bins=bins,
        )


def roi_align(features: Tensor, boxes: Tensor, bins: int) -> Tensor:
    """Sample features (n, c, h, w) at the centres of ``bins`` x ``bins`` cells of each box.

    Boxes (n, k, 4) are in feature cells, the first cell from 0 to 1. Values between cells are
    bilinear (He et al., Mask R-CNN, 2017, section 3, with one point a bin): (n, k, c, bins, bins).
    """
    height, width = features.shape[-2:]
    centres = (torch.arange(bins, device=boxes.device) + 0.5) / bins
    left, top, right, bottom = boxes.unsqueeze(-2).unbind(-1)
    x = (left + (right - left) * centres) * 2 / width - 1
    y = (top + (bottom - top) * centres) * 2 / height - 1
    shape = (*x.shape, bins)
    grid = torch.stack([x[..., None, :].expand(shape), y[..., None].expand(shape)], -1)
    sampled: Tensor = functional.grid_sample(
        features.float(), grid.flatten(1, 2), align_corners=False, padding_mode="border"
    )
    by_box = sampled.reshape(*sampled.shape[:2], -1, bins, bins).movedim(2, 1)
    return by_box.to(features.dtype)


def _anchors(sizes: Sequence[tuple[float, float]], size: int, stride: int) -> Tensor:
    """Boxes of all sizes around the centre of every cell, row by row, sizes fastest."""
    centre = (torch.arange(size // stride) + 0.5) * stride
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    centres = torch.stack([x, y], -1).reshape(-1, 1, 2)
    halves = torch.tensor(sizes) / 2
    return torch.cat([centres - halves, centres + halves], -1).reshape(-1, 4)


def _convolution(channels_in: int, channels_out: int, stride: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )
