"""The residual network of 34 layers with which AIBench's code embeds faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from benchmarks.components._common import Drops
from benchmarks.components._full import SCENARIOS, THROUGHPUT, FullModel
from benchmarks.components._images import Normalised
from benchmarks.components.face_embedding import original, pairs
from benchmarks.components.face_embedding.task import MARGIN, TASK
from benchmarks.components.face_embedding.triplets import semi_hard_triplet_loss
from benchmarks.components.image_classification.model import ResidualBlock, convolution
from pytest_aibench.bounds import at_most
from pytest_aibench.datasets import Dataset
from pytest_aibench.training import Baseline, Supervised

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


def build() -> nn.Module:
    """The network behind what makes numbers of bytes."""
    return nn.Sequential(Normalised(), FaceNet34())


def loss(model: nn.Module, people: Tensor, numbers: Tensor) -> Tensor:
    """The triplet loss among all portraits (n, k, 3, h, w) of a batch, at length one."""
    embeddings = model(people.flatten(0, 1)) / LENGTH
    return semi_hard_triplet_loss(embeddings, numbers.repeat_interleave(people.shape[1]), MARGIN)


def optimizer(model: nn.Module) -> Optimizer:
    """Adam."""
    return Adam(model.parameters(), 1e-3)


def pixel_distances(train: Dataset, test: Dataset) -> Sequence[float]:
    """How far the pixels of both portraits of a pair are apart."""
    return [float(np.linalg.norm(np.subtract(*pair.astype(np.float32)))) for pair in test.samples]


FULL_TASK = replace(
    TASK,
    dataset=original.NAME,
    metric=pairs.NAME,
    target=0.9897,
    max_epochs=200,
    batch_size=64 // original.PORTRAITS,
    cpu_threads=None,
    build=build,
    learner=Supervised(loss=loss, optimizer=optimizer, schedule=Drops((0.25, 0.5, 0.75))),
    predictor=pairs.pair_predictor,
    baseline=Baseline(name="raw pixels", answer=pixel_distances),
    pictures=None,
    time_to_quality=at_most("3.43 h"),
    scenarios=SCENARIOS,
    throughput=THROUGHPUT,
    provenance={
        "component": TASK.provenance["component"],
        "paper": TASK.provenance["paper"],
        "architecture": "AIBench's code: ResNet-34 without its mean, 128 dimensions, length 10",
        "data": "VGGFace2's 8631 people, four portraits of each an epoch (AIBench: 10 000 "
        "triplets an epoch); LFW's 6000 pairs; portraits as they lie in the folder",
        "loss": "triplets with margin 0.2 and the semi-hard negatives of the paper, at length one; "
        "AIBench's code has margin 0.5 at length 10, and distances that are not squared",
        "optimizer": "AIBench's code: Adam at 1e-3, a tenth after each quarter of 200 epochs, 64 "
        "portraits a step (there 64 triplets)",
        "target": "0.9897 on LFW's pairs (AIBench)",
        "time": "3.43 h on a Titan RTX (AIBench)",
        "latency": "not published: guesses",
    },
)
