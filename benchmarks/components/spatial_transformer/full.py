"""The spatial transformer network that AIBench trains on MNIST: the one of PyTorch's tutorial."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from torch.optim import SGD, Optimizer

from benchmarks.components._common import Drops
from benchmarks.components._full import SCENARIOS, THROUGHPUT, FullModel
from benchmarks.components.spatial_transformer import original
from benchmarks.components.spatial_transformer.model import SpatialTransformer
from benchmarks.components.spatial_transformer.task import TASK, loss
from pytest_aibench.bounds import at_most
from pytest_aibench.training import Supervised


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


def optimizer(model: nn.Module) -> Optimizer:
    """Stochastic gradient descent."""
    return SGD(model.parameters(), 0.01)


FULL_TASK = replace(
    TASK,
    dataset=original.NAME,
    target=0.99,
    max_epochs=60,
    batch_size=64,
    cpu_threads=None,
    build=TutorialNetwork,
    learner=Supervised(loss=loss, optimizer=optimizer, schedule=Drops()),
    time_to_quality=at_most("0.06 h"),
    scenarios=SCENARIOS,
    throughput=THROUGHPUT,
    provenance={
        "component": TASK.provenance["component"],
        "paper": TASK.provenance["paper"],
        "architecture": "the network of PyTorch's tutorial",
        "data": "MNIST as it is, not distorted, with the tutorial's mean and deviation",
        "optimizer": "the tutorial's: SGD at 0.01, 64 images a step",
        "epochs": "60; the tutorial trains for 20, AIBench's time and time of an epoch imply 34",
        "target": "0.99 top-1 (AIBench)",
        "time": "0.06 h on a Titan RTX (AIBench)",
        "latency": "not published: guesses",
    },
)
