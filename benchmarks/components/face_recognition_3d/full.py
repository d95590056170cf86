"""ResNet-50 for colour and depth."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.components._full import FullModel
from benchmarks.components.image_classification.full import ResNet50
from benchmarks.components.image_classification.model import convolution

PEOPLE = 253


def build() -> nn.Module:
    """ResNet-50 whose first convolution takes depth as a fourth channel."""
    network = ResNet50(classes=PEOPLE)
    network[0] = convolution(4, 64, 7, 2)
    return network


FULL = FullModel(
    build=build,
    published_parameters=24_030_000,
    source="AIBench Training (BenchCouncil-AIBench-2020-2): ResNet-50 of He et al., 2015, on "
    "colour and depth of 253 people",
    within=0.01,
    inputs=lambda: (torch.empty(1, 4, 224, 224, device="meta"),),
    published_macs=4_130_000_000,
)
