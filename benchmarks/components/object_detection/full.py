"""Faster R-CNN on the ResNet-50's fourth stage, "R50-C4", for VOC's 20 classes."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from benchmarks.components._common import Drops
from benchmarks.components._full import SCENARIOS, FullModel
from benchmarks.components._images import Normalised
from benchmarks.components._pretrained import RESNET50, Pretrained
from benchmarks.components.image_classification.full import ResNet50
from benchmarks.components.object_detection import original
from benchmarks.components.object_detection.losses import Truth, detection_loss
from benchmarks.components.object_detection.model import (
    Judged,
    ProposalNetwork,
    Proposed,
    RegionHead,
    TwoStageDetector,
    roi_align,
)
from benchmarks.components.object_detection.task import TASK
from pytest_aibench.bounds import at_least, at_most

STRIDE = 16
STEM_AND_THREE_STAGES = 6
STEM_AND_FIRST_STAGE = 4
ANCHORS = tuple(
    (side / ratio, side * ratio) for side in (128, 256, 512) for ratio in (0.5**0.5, 1.0, 2**0.5)
)
"""Widths and heights (Ren et al. 2015, section 3.1.1)."""

ANCHORS_TAUGHT = 256


class ResNetFasterRCNN(TwoStageDetector):
    """Three stages of a ResNet-50 for the whole image, the last one for each region.

    He et al. 2015, appendix A; 9 anchors, 512 channels in the proposal network (Ren et al. 2015).
    The statistics of batch normalisation stay as they are, for a step has one image; neither do
    the stem and the first stage learn.
    """

    def __init__(
        self, classes: int = 20, size: int = original.SIDE, regions: int = 300, bins: int = 14
    ) -> None:
        layers = list(ResNet50())
        last_stage, mean, flat = layers[STEM_AND_THREE_STAGES:-1]
        super().__init__(
            nn.Sequential(*layers[:STEM_AND_THREE_STAGES]),
            ProposalNetwork(channels=1024, hidden=512, shapes=len(ANCHORS)),
            RegionHead(nn.Sequential(last_stage, mean, flat), 2048, classes),
            size=size,
            stride=STRIDE,
            anchors=ANCHORS,
            regions=regions,
            bins=bins,
        )
        fixed = (*layers[:STEM_AND_FIRST_STAGE], *_normalisations(self))
        nn.ModuleList(fixed).requires_grad_(False)

    def train(self, mode: bool = True) -> ResNetFasterRCNN:
        """Let all learn but batch normalisation."""
        super().train(mode)
        nn.ModuleList(_normalisations(self)).eval()
        return self

    def forward(self, images: Tensor, boxes: Tensor) -> tuple[Proposed, Judged]:
        """Both stages, the second on boxes (n, k, 4) in place of the first one's best."""
        features = self.backbone(images)
        regions = roi_align(features, boxes / STRIDE, self.bins)
        return self.proposal_network(features), self.head(regions)


def _normalisations(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


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


def build() -> ResNetFasterRCNN:
    """The detector, behind what makes numbers about normal of values in [0, 1]."""
    detector = ResNetFasterRCNN()
    detector.backbone = nn.Sequential(Normalised(most=1), detector.backbone)
    return detector


def trunk(model: nn.Module) -> nn.Module:
    """What ImageNet's weights are of: the backbone, and the last stage in the head."""
    detector = cast("ResNetFasterRCNN", model)
    return nn.ModuleList([detector.backbone, detector.head.trunk])


def loss(model: nn.Module, images: Tensor, objects: Tensor) -> Tensor:
    """The losses of both stages, with half of the images the other way round."""
    boxes, classes = objects[..., :4], objects[..., 4].long()
    detector = cast("ResNetFasterRCNN", model)
    if torch.rand(()) < 0.5:
        images, boxes = images.flip(-1), flipped(boxes, detector.size)
    return detection_loss(detector, images / 255, Truth(boxes, classes), ANCHORS_TAUGHT)


def flipped(boxes: Tensor, size: int) -> Tensor:
    """Boxes (..., 4) as they lie in an image of ``size`` pixels the other way round."""
    left, top, right, bottom = boxes.unbind(-1)
    return torch.stack((size - right, top, size - left, bottom), -1)


def optimizer(model: nn.Module) -> Optimizer:
    """Stochastic gradient descent with momentum."""
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    return SGD(learning, 1e-3, momentum=0.9, weight_decay=1e-4)


FULL_TASK = replace(
    TASK,
    dataset=original.NAME,
    target=0.75,
    max_epochs=7,
    batch_size=1,
    cpu_threads=None,
    build=build,
    learner=Pretrained(
        loss=loss,
        optimizer=optimizer,
        schedule=Drops((5 / 7,)),
        trunk=trunk,
        weights=RESNET50,
    ),
    time_to_quality=at_most("2.52 h"),
    scenarios=SCENARIOS,
    throughput=at_least("1 samples/s"),
    provenance={
        "component": TASK.provenance["component"],
        "paper": TASK.provenance["paper"],
        "architecture": "R50-C4 (He et al., 2015, appendix A) from ImageNet's weights, stem, first "
        "stage and batch normalisation fixed; 9 anchors, ROI-align of 14 x 14; the 300 best of "
        "1200 proposals, where AIBench takes those of 6000, and of 12000 when it learns",
        "data": "VOC2007 trainval and test without objects marked difficult, which VOC does not "
        "count: found, they count as wrong here; images fill a square of 800 pixels, so most "
        "are 600 x 800 as AIBench's; half of them are turned round",
        "optimizer": "AIBench's code: SGD at 1e-3 with momentum 0.9, a tenth after 5 epochs, "
        "weight decay 1e-4, one image a step; all regions and the true boxes teach the head, "
        "there 128 of them",
        "epochs": "7; AIBench's time and time of an epoch imply 6",
        "target": "0.75 mAP at an overlap of 0.5 by VOC 2007's 11 points (AIBench)",
        "time": "2.52 h on a Titan RTX (AIBench)",
        "latency": "not published: guesses",
    },
)
