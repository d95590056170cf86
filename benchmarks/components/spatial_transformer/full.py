"""The spatial transformer network that AIBench trains on MNIST: the one of PyTorch's tutorial."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.components._full import FullModel
from benchmarks.components.spatial_transformer.model import SpatialTransformer


class TutorialNetwork(nn.Sequential):
    """Maps (n, 1, 28, 28) to log-probabilities (n, 10)."""

    def __init__(self) -> None:
        see = nn.Sequential(
            nn.Conv2d(1, 8, 7),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(8, 10, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(10 * 3 * 3, 32),
            nn.ReLU(),
        )
        super().__init__(
            SpatialTransformer(see, 32, 28),
            nn.Conv2d(1, 10, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(10, 20, 5),
            nn.Dropout2d(),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(320, 50),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(50, 10),
            nn.LogSoftmax(dim=1),
        )


FULL = FullModel(
    build=TutorialNetwork,
    published_parameters=27_360,
    source="PyTorch's tutorial on spatial transformer networks; AIBench publishes 0.03 million",
    inputs=lambda: (torch.empty(1, 1, 28, 28, device="meta"),),
)
