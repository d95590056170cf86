"""The residual network of 34 layers with which AIBench's code embeds faces."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.components._full import FullModel
from benchmarks.components.image_classification.model import ResidualBlock, convolution

LENGTH = 10


class FaceNet34(nn.Module):
    """Maps portraits (n, 3, 182, 182) to embeddings (n, 128) of length 10.

    The trunk is ResNet-34 (He et al., 2015, table 1) without its global mean.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            convolution(3, 64, 7, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
            _stage(64, 64, blocks=3, stride=1),
            _stage(64, 128, blocks=4, stride=2),
            _stage(128, 256, blocks=6, stride=2),
            _stage(256, 512, blocks=3, stride=2),
            nn.Flatten(),
        )
        self.embedding = nn.Linear(512 * 6 * 6, 128)

    def forward(self, portraits: Tensor) -> Tensor:
        """Map (n, 3, 182, 182) to (n, 128)."""
        return LENGTH * functional.normalize(self.embedding(self.trunk(portraits)))


def _stage(channels_in: int, channels: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = ResidualBlock(channels_in, channels, stride)
    return nn.Sequential(first, *(ResidualBlock(channels, channels, 1) for _ in range(blocks - 1)))


FULL = FullModel(
    build=FaceNet34,
    published_parameters=24_000_000,
    source="AIBench Training (BenchCouncil-AIBench-2020-2) says about 24 million of FaceNet; its "
    "PyTorch code has a ResNet-34 trunk and a linear layer to 128 at 182 x 182 pixels",
    within=0.02,
    note="built, that code's network has 23.64 million weights, which the report rounds; the "
    "paper's own NN2 (Schroff et al., 2015) has 7.5 million",
    inputs=lambda: (torch.empty(1, 3, 182, 182, device="meta"),),
    published_macs=2_590_000_000,
)
