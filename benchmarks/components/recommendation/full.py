"""NeuMF for MovieLens-20M, as MLPerf Training v0.5 and AIBench train it."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.components._full import FullModel
from benchmarks.components.recommendation.model import NeuMF

USERS_20M = 138_493
ITEMS_20M = 26_744

FULL = FullModel(
    build=partial(NeuMF, USERS_20M, ITEMS_20M, factors=64, layers=(256, 256, 128, 64)),
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
