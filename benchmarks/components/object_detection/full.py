"""Faster R-CNN on the ResNet-50's fourth stage, "R50-C4", for VOC's 20 classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.components._full import FullModel
from benchmarks.components.image_classification.full import ResNet50
from benchmarks.components.object_detection.model import (
    Judged,
    ProposalNetwork,
    Proposed,
    RegionHead,
    roi_align,
)

STRIDE = 16
STEM_AND_THREE_STAGES = 6


class ResNetFasterRCNN(nn.Module):
    """Three stages of a ResNet-50 for the whole image, the last one for each region.

    He et al. 2015, appendix A; 9 anchors, 512 channels in the proposal network (Ren et al. 2015).
    """

    def __init__(self, classes: int = 20, bins: int = 14) -> None:
        super().__init__()
        layers = list(ResNet50())
        self.bins = bins
        self.backbone = nn.Sequential(*layers[:STEM_AND_THREE_STAGES])
        self.proposal_network = ProposalNetwork(channels=1024, hidden=512, shapes=9)
        last_stage, mean, flat = layers[STEM_AND_THREE_STAGES:-1]
        self.head = RegionHead(nn.Sequential(last_stage, mean, flat), 2048, classes)

    def forward(self, images: Tensor, boxes: Tensor) -> tuple[Proposed, Judged]:
        """Both stages, the second on boxes (n, k, 4) in place of the first one's best."""
        features = self.backbone(images)
        regions = roi_align(features, boxes / STRIDE, self.bins)
        return self.proposal_network(features), self.head(regions)


FULL = FullModel(
    build=ResNetFasterRCNN,
    published_parameters=28_470_000,
    source="Ren et al., Faster R-CNN, 2015, with the ResNet of He et al., 2015, appendix A; "
    "28.47 million weights and 282 830 million multiply-accumulates (AIBench) for 300 regions of "
    "an image of 600 x 800 pixels, pooled to 14 x 14",
    within=0.001,
    note="one logit for an anchor where the paper has two",
    inputs=lambda: (
        torch.empty(1, 3, 600, 800, device="meta"),
        torch.empty(1, 300, 4, device="meta"),
    ),
    published_macs=282_830_000_000,
)
