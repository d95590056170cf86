"""Recommendation as a task: how it is trained, judged and served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler

from benchmarks.components._movielens import ITEMS, USERS
from benchmarks.components.recommendation.data import NAME
from benchmarks.components.recommendation.model import NeuMF
from pytest_aibench.bounds import at_least, at_most
from pytest_aibench.datasets import Dataset
from pytest_aibench.scenarios import MultiStream, Offline, Server, SingleStream
from pytest_aibench.training import Baseline, Supervised, Task, TensorPredictor

NEGATIVES = 4
LEARNING_RATE = 1e-2


def loss(model: nn.Module, rated: Mapping[str, Tensor], _: Tensor) -> Tensor:
    """Tell the film that a user rated from four others, drawn anew at each step."""
    n, n_items = len(rated["user"]), cast("NeuMF", model).n_items
    others = torch.randint(n_items, (n, NEGATIVES), device=rated["items"].device)
    logits = model({"user": rated["user"], "items": torch.cat((rated["items"], others), dim=1)})
    is_rated = torch.zeros_like(logits)
    is_rated[:, 0] = 1
    return functional.binary_cross_entropy_with_logits(logits, is_rated)


def optimizer(model: nn.Module) -> Optimizer:
    """Adam."""
    return Adam(model.parameters(), LEARNING_RATE)


def schedule(optimizer: Optimizer, steps: int) -> LRScheduler:
    """Down to a tenth, evenly."""
    return LinearLR(optimizer, 1.0, 0.1, total_iters=steps)


def popularity(train: Dataset, test: Dataset) -> Sequence[Any]:
    """How many users rated each candidate in the train split."""
    n_items = 1 + max(int(data.samples["items"].max()) for data in (train, test))
    n_ratings = np.bincount(train.samples["items"].ravel(), minlength=n_items)
    return list(n_ratings[test.samples["items"]].astype(np.float64))


TASK = Task(
    name="recommendation",
    component="C10",
    title="Recommendation",
    dataset=NAME,
    metric="hr10",
    target=0.63,
    max_epochs=12,
    batch_size=1024,
    cpu_threads=1,
    build=partial(NeuMF, USERS, ITEMS, factors=16, layers=(64, 32, 16)),
    learner=Supervised(loss=loss, optimizer=optimizer, schedule=schedule),
    predictor=TensorPredictor,
    baseline=Baseline(name="popularity", answer=popularity),
    time_to_quality=at_most("120 s"),
    scenarios=(
        SingleStream(latency_bound="20 ms"),
        MultiStream(latency_bound="40 ms"),
        Server(target_qps=150, latency_bound="50 ms"),
        Offline(),
    ),
    throughput=at_least("200 samples/s"),
    provenance={
        "component": "AIBench Training DC-AI-C10, recommendation: NeuMF on MovieLens",
        "paper": "He et al., Neural Collaborative Filtering, 2017",
        "architecture": "NeuMF with 16 factors, both parts trained together from the start",
        "data": "MovieLens-100k, AIBench's own; the last rating of each user left out, among 99 "
        "films never rated (as the paper; AIBench and MLPerf: 999)",
        "optimizer": "Adam with 4 negatives as in the paper; they are drawn from all films, so "
        "that some of them were rated, too; the rate falls to a tenth",
        "target": "0.63 HR@10, chosen on seeds 0 to 4; MovieLens-20M among 999: 0.635 (AIBench)",
    },
)
