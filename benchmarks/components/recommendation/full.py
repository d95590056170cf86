"""NeuMF for MovieLens-20M, as MLPerf Training v0.5 and AIBench train it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from benchmarks.components._common import Drops
from benchmarks.components._full import SCENARIOS, THROUGHPUT, FullModel
from benchmarks.components.recommendation import original
from benchmarks.components.recommendation.model import NeuMF
from benchmarks.components.recommendation.task import NEGATIVES, TASK, loss
from pytest_aibench.bounds import at_most
from pytest_aibench.training import Supervised, TensorPredictor

USERS_20M, ITEMS_20M = original.COUNTS.users, original.COUNTS.items
USERS_AT_ONCE = 256

build = partial(NeuMF, USERS_20M, ITEMS_20M, factors=64, layers=(256, 256, 128, 64))

FULL = FullModel(
    build=build,
    published_parameters=31_832_577,
    source="He et al., Neural Collaborative Filtering, 2017; MLPerf Training v0.5, recommendation, "
    "publishes 0.213248 million operations for a pair, two for each multiply-accumulate",
    inputs=lambda: (
        {
            "user": torch.empty(1, dtype=torch.int64, device="meta"),
            "items": torch.empty(1, 1, dtype=torch.int64, device="meta"),
        },
    ),
    published_macs=106_624,
)


def optimizer(model: nn.Module) -> Optimizer:
    """Adam."""
    return Adam(model.parameters(), 2e-4)


class FewUsersPredictor(TensorPredictor):
    """Scores 256 users at a time: each has a thousand films, and a training step has many users."""

    def infer(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Logits of each user's films."""
        users, items = (torch.split(inputs[name], USERS_AT_ONCE) for name in ("user", "items"))
        parts = [{"user": u, "items": i} for u, i in zip(users, items, strict=True)]
        return torch.cat([super(FewUsersPredictor, self).infer(part) for part in parts])


FULL_TASK = replace(
    TASK,
    dataset=original.NAME,
    target=0.635,
    max_epochs=30,
    batch_size=65_536 // (1 + NEGATIVES),
    cpu_threads=None,
    build=build,
    learner=Supervised(loss=loss, optimizer=optimizer, schedule=Drops()),
    predictor=FewUsersPredictor,
    time_to_quality=at_most("0.16 h"),
    scenarios=SCENARIOS,
    throughput=THROUGHPUT,
    provenance={
        "component": TASK.provenance["component"],
        "paper": TASK.provenance["paper"],
        "architecture": "NeuMF with 64 factors and layers of 256, 256, 128 and 64, as MLPerf's",
        "data": "MovieLens-20M; the last rating of each user left out, among 999 films never rated",
        "optimizer": "AIBench's code: Adam at 2e-4, 65 536 pairs a step with 4 negatives for each "
        "rating; they are drawn from all films at each step, there for an epoch",
        "epochs": "30; AIBench's time and time of an epoch imply 16",
        "target": "0.635 HR@10 (AIBench, MLPerf v0.5)",
        "time": "0.16 h on a Titan RTX (AIBench)",
        "latency": "not published: guesses",
    },
)
