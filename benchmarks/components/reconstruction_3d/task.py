"""3D object reconstruction as a task: how it is trained, judged and served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from benchmarks.components._common import OneCycle
from benchmarks.components.reconstruction_3d.cameras import VIEWS
from benchmarks.components.reconstruction_3d.data import NAME, voxels
from benchmarks.components.reconstruction_3d.model import PerspectiveTransformer
from benchmarks.components.reconstruction_3d.pictures import pictures
from benchmarks.components.reconstruction_3d.shapes import Solid
from pytest_aibench.bounds import at_least, at_most
from pytest_aibench.datasets import Dataset
from pytest_aibench.quality.metrics import metric
from pytest_aibench.scenarios import MultiStream, Offline, Server, SingleStream
from pytest_aibench.training import Baseline, Supervised, Task, TensorPredictor

PEAK_LEARNING_RATE = 1e-3
VIEWS_PER_STEP = 2


def choose_photograph(photographs: Tensor) -> Tensor:
    """Take one photograph of each solid at random: (n, views, 1, h, w) to (n, 1, h, w)."""
    n, views = photographs.shape[:2]
    return photographs[
        torch.arange(n, device=photographs.device),
        torch.randint(views, (n,), device=photographs.device),
    ]


def loss(model: nn.Module, photographs: Tensor, silhouettes: Tensor) -> Tensor:
    """Mean squared error of the solids' silhouettes (n, views, h, w) at some random cameras."""
    network = cast("PerspectiveTransformer", model)
    views = torch.randperm(VIEWS, device=silhouettes.device)[:VIEWS_PER_STEP]
    seen = network.silhouettes(network(photographs), views)
    return functional.mse_loss(seen, silhouettes[:, views])


def optimizer(model: nn.Module) -> Optimizer:
    """Adam, as in the paper."""
    return Adam(model.parameters(), PEAK_LEARNING_RATE)


def mean_shape(train: Dataset, test: Dataset) -> Sequence[Solid]:
    """The voxels that many training solids fill, as many as fit those solids best."""
    return [fitting_mean(voxels(train.split))] * len(test)


def fitting_mean(solids: Solid) -> Solid:
    """The voxels that many solids (n, side, side, side) fill, as many as fit those solids best."""
    share = solids.mean(axis=0)
    overlap = metric("voxel_iou")
    candidates = [share > least for least in np.linspace(0.05, 0.5, 10)]
    return max(candidates, key=lambda solid: overlap.scores([solid] * len(solids), solids).mean())


TASK = Task(
    name="reconstruction_3d",
    component="C13",
    title="3D object reconstruction",
    dataset=NAME,
    metric="voxel_iou",
    target=0.48,
    max_epochs=10,
    batch_size=25,
    cpu_threads=1,
    build=PerspectiveTransformer,
    learner=Supervised(
        loss=loss,
        optimizer=optimizer,
        schedule=OneCycle(PEAK_LEARNING_RATE),
        augment=choose_photograph,
    ),
    predictor=TensorPredictor,
    baseline=Baseline(name="mean shape", answer=mean_shape),
    pictures=pictures,
    time_to_quality=at_most("90 s"),
    scenarios=(
        SingleStream(latency_bound="50 ms"),
        MultiStream(samples_per_query=4, latency_bound="100 ms"),
        Server(target_qps=150, latency_bound="100 ms"),
        Offline(),
    ),
    throughput=at_least("80 samples/s"),
    provenance={
        "component": "AIBench Training DC-AI-C13, 3D object reconstruction: perspective "
        "transformer network on ShapeNet",
        "paper": "Yan et al., Perspective Transformer Nets, 2016: the loss on silhouettes alone",
        "architecture": "the paper's encoder and decoder with fewer channels, for 32 x 32 pixels "
        "and 24 voxels a side instead of 64 x 64 and 32; with batch normalisation; no units for "
        "the pose; the cameras' view is narrower, so that an object fills more of the picture",
        "data": "1000 generated pieces of furniture of five kinds, 8 photographs each in grey, "
        "instead of ShapeNet's with 24 each in colour",
        "optimizer": "Adam as in the paper, at 1e-3 in one cycle instead of 1e-4, without weight "
        "decay and without pre-training of the encoder",
        "target": "0.48, chosen on seeds 0 to 4; AIBench: 0.4583",
    },
)
