"""What both stages of Faster R-CNN are taught, and how far they are from it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.components.object_detection.boxes import encode, overlaps
from benchmarks.components.object_detection.model import Judged, Proposed, TwoStageDetector

ANCHORS_TAUGHT = 32
FOREGROUND = 0.5


class Truth(NamedTuple):
    """What is to be seen in n images.

    Attributes:
        boxes: Shape (n, m, 4).
        classes: int64 of shape (n, m); -1 where an image has fewer than m objects.
    """

    boxes: Tensor
    classes: Tensor


def detection_loss(
    model: TwoStageDetector, images: Tensor, truth: Truth, taught: int = ANCHORS_TAUGHT
) -> Tensor:
    """The sum of the four losses of a batch of images (Ren et al. 2015, equation 1, twice).

    The first stage learns from ``taught`` anchors of each image.
    """
    features = model.backbone(images)
    proposed = model.proposal_network(features)
    # The head learns on the boxes as they come: gradients do not flow back through them.
    proposals = model.propose(Proposed(*(part.detach() for part in proposed)))
    regions = torch.cat([truth.boxes, proposals], dim=1)
    judged = model.judge(features, regions)
    first_stage = proposal_loss(proposed, model.anchors, truth, taught)
    return first_stage + region_loss(judged, regions, truth)


def proposal_loss(
    proposed: Proposed, anchors: Tensor, truth: Truth, taught: int = ANCHORS_TAUGHT
) -> Tensor:
    """Cross-entropy of a sample of anchors, and the error of place where an object is.

    An anchor is an object if it overlaps one by 0.7, or overlaps it best of all; it is none below
    0.3, and not taught between. Up to ``taught / 2`` of each are drawn (Ren et al. 2015, section
    3.1.3).
    """
    overlap = overlaps(anchors, truth.boxes)
    best, match = overlap.max(-1)
    closest = (overlap == overlap.amax(-2, keepdim=True)) & (overlap > 0)
    positive = closest.any(-1) | (best >= 0.7)
    negative = ~positive & (best < 0.3)
    few = _draw(positive, taught // 2)
    many = _draw(negative, taught // 2)
    drawn = few | many
    right = functional.binary_cross_entropy_with_logits(
        proposed.scores[drawn], positive[drawn].float()
    )
    boxes = truth.boxes.take_along_dim(match[..., None], 1)
    target = encode(boxes[few], anchors.expand_as(boxes)[few])
    return right + _place_loss(proposed.offsets[few], target, int(drawn.sum()))


def region_loss(judged: Judged, regions: Tensor, truth: Truth) -> Tensor:
    """Cross-entropy of the regions' classes, and the error of place where an object is."""
    best, match = overlaps(regions, truth.boxes).max(-1)
    nothing = judged.scores.shape[-1] - 1
    classes = truth.classes.take_along_dim(match, 1).where(best >= FOREGROUND, nothing)
    right = functional.cross_entropy(judged.scores.flatten(0, 1), classes.flatten())
    objects = classes != nothing
    boxes = truth.boxes.take_along_dim(match[..., None], 1)
    offsets = judged.offsets[objects, classes[objects]]
    target = encode(boxes[objects], regions[objects])
    return right + _place_loss(offsets, target, classes.numel())


def _place_loss(offsets: Tensor, target: Tensor, taught: int) -> Tensor:
    return functional.smooth_l1_loss(offsets * 10, target * 10, reduction="sum") / taught / 10


def _draw(mask: Tensor, count: int) -> Tensor:
    """Up to ``count`` of the true places of each row, at random."""
    keys = torch.rand(mask.shape, device=mask.device) * mask
    return mask & (keys >= keys.topk(count).values[:, -1:])
