"""ResNet-50 for ImageNet, in the variant that benchmarks call v1.5, and how it is trained."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from benchmarks.components._common import Drops, cross_entropy
from benchmarks.components._full import THROUGHPUT, FullModel
from benchmarks.components._images import Normalised, RandomCrops
from benchmarks.components.image_classification import original
from benchmarks.components.image_classification.model import convolution
from benchmarks.components.image_classification.task import TASK
from pytest_aibench.bounds import at_most
from pytest_aibench.scenarios import MultiStream, Offline, Server, SingleStream
from pytest_aibench.training import Supervised

EXPANSION = 4


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut (He et al., 2015, figure 5).

    The stride is in the 3 x 3 convolution, where the paper has it in the first 1 x 1: v1.5.
    """

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        channels_out = EXPANSION * width
        self.first = convolution(channels_in, width, 1, 1)
        self.second = convolution(width, width, 3, stride)
        self.third = convolution(width, channels_out, 1, 1)
        same = channels_in == channels_out
        self.shortcut = nn.Identity() if same else convolution(channels_in, channels_out, 1, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, 4 * width, h / stride, w / stride)."""
        hidden = functional.relu(self.second(functional.relu(self.first(inputs))))
        return functional.relu(self.third(hidden) + self.shortcut(inputs))


class ResNet50(nn.Sequential):
    """Maps (n, 3, 224, 224) to (n, classes): stages of 3, 4, 6 and 3 blocks (there: table 1)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__(
            convolution(3, 64, 7, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
            _stage(64, 64, blocks=3, stride=1),
            _stage(256, 128, blocks=4, stride=2),
            _stage(512, 256, blocks=6, stride=2),
            _stage(1024, 512, blocks=3, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2048, classes),
        )


def _stage(channels_in: int, width: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(channels_in, width, stride)
    others = (Bottleneck(EXPANSION * width, width, 1) for _ in range(blocks - 1))
    return nn.Sequential(first, *others)


FULL = FullModel(
    build=ResNet50,
    published_parameters=25_557_032,
    source="He et al., Deep Residual Learning for Image Recognition, 2015, table 1; weights and "
    "multiply-accumulates as torchvision publishes them of its resnet50",
    inputs=lambda: (torch.empty(1, 3, 224, 224, device="meta"),),
    published_macs=4_089_000_000,
)


def build() -> nn.Module:
    """The model behind what makes numbers of bytes."""
    return nn.Sequential(Normalised(), ResNet50())


def optimizer(model: nn.Module) -> Optimizer:
    """Stochastic gradient descent with momentum."""
    return SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)


FULL_TASK = replace(
    TASK,
    dataset=original.NAME,
    target=0.749,
    max_epochs=90,
    batch_size=256,
    cpu_threads=None,
    build=build,
    learner=Supervised(
        loss=cross_entropy,
        optimizer=optimizer,
        schedule=Drops((1 / 3, 2 / 3)),
        augment=RandomCrops(original.SIDES["test"]),
    ),
    time_to_quality=at_most("130 h"),
    scenarios=(
        SingleStream(latency_bound="100 ms"),
        MultiStream(latency_bound="50 ms"),
        Server(target_qps=100, latency_bound="15 ms"),
        Offline(),
    ),
    throughput=THROUGHPUT,
    provenance={
        "component": "AIBench Training DC-AI-C1, image classification: ResNet-50 on ImageNet",
        "paper": "He et al., Deep Residual Learning for Image Recognition, 2015",
        "architecture": "the paper's network of 50 layers with the stride in the 3 x 3 (v1.5)",
        "data": "ImageNet 2012; random crops and flips are of the middle square of 256 pixels, "
        "not of the whole photograph; no change of colours",
        "optimizer": "AIBench's code: SGD at 0.1 with momentum 0.9, a tenth after each third of 90 "
        "epochs, weight decay 1e-4, 256 images a step",
        "target": "0.749 top-1 (AIBench); MLPerf 0.759",
        "time": "130 h on a Titan RTX (AIBench)",
        "latency": "MLPerf Inference v0.5 for ResNet-50: 15 ms in server, 50 ms in multi-stream",
    },
)
