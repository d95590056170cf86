"""ResNet-50 for colour and depth, and how it is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import nn
from torch.optim import SGD, Optimizer

from benchmarks.components._common import Drops, cross_entropy
from benchmarks.components._full import SCENARIOS, THROUGHPUT, FullModel
from benchmarks.components._images import DEVIATION, MEAN, Normalised
from benchmarks.components._pretrained import RESNET50, Pretrained
from benchmarks.components.face_recognition_3d import original
from benchmarks.components.face_recognition_3d.task import TASK
from benchmarks.components.image_classification.full import ResNet50
from benchmarks.components.image_classification.model import convolution
from pytest_aibench.bounds import at_most

PEOPLE = original.COUNTS.people


def depth_resnet50() -> nn.Module:
    """ResNet-50 whose first convolution takes depth as a fourth channel."""
    network = ResNet50(classes=PEOPLE)
    network[0] = convolution(4, 64, 7, 2)
    return network


FULL = FullModel(
    build=depth_resnet50,
    published_parameters=24_030_000,
    source="AIBench Training (BenchCouncil-AIBench-2020-2): ResNet-50 of He et al., 2015, on "
    "colour and depth of 253 people",
    within=0.01,
    inputs=lambda: (torch.empty(1, 4, 224, 224, device="meta"),),
    published_macs=4_130_000_000,
)


def build() -> nn.Module:
    """The network behind what makes numbers of bytes."""
    normalised = Normalised(mean=(*MEAN, 0.5), deviation=(*DEVIATION, 0.25))
    return nn.Sequential(normalised, depth_resnet50())


def trunk(model: nn.Module) -> nn.Module:
    """What ImageNet's weights are of: all but the classifier."""
    _, network = cast("nn.Sequential", model)
    return nn.ModuleList(list(cast("nn.Sequential", network))[:-1])


def optimizer(model: nn.Module) -> Optimizer:
    """Stochastic gradient descent with momentum."""
    return SGD(model.parameters(), 1e-3, momentum=0.9)


FULL_TASK = replace(
    TASK,
    dataset=original.NAME,
    target=0.9464,
    max_epochs=50,
    batch_size=16,
    cpu_threads=None,
    build=build,
    learner=Pretrained(
        loss=cross_entropy,
        optimizer=optimizer,
        schedule=Drops(tuple(epoch / 50 for epoch in range(7, 50, 7))),
        trunk=trunk,
        weights=RESNET50,
    ),
    pictures=None,
    time_to_quality=at_most("12.02 h"),
    scenarios=SCENARIOS,
    throughput=THROUGHPUT,
    provenance={
        "component": TASK.provenance["component"],
        "paper": TASK.provenance["paper"],
        "architecture": "ResNet-50 (v1.5) from ImageNet's weights, whose first convolution takes "
        "depth as a fourth channel",
        "data": "the portraits that AIBench had are no longer to be had: bring as many of your own",
        "optimizer": "AIBench's code: SGD at 1e-3 with momentum 0.9, a tenth after each 7 of 50 "
        "epochs, 16 portraits a step",
        "epochs": "50 as in AIBench's code; its time and time of an epoch imply 1170",
        "target": "0.9464 top-1 (AIBench), on data that this cannot be",
        "time": "12.02 h on a Titan RTX (AIBench)",
        "latency": "not published: guesses",
    },
)
