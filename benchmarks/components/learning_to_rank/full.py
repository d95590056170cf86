"""Caser for Gowalla at the width of the teacher, as ranking distillation and AIBench train it."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.components._full import FullModel
from benchmarks.components.learning_to_rank.model import Caser

USERS_GOWALLA = 13_149
ITEMS_GOWALLA = 14_009
LENGTH = 5

teacher = partial(Caser, USERS_GOWALLA, ITEMS_GOWALLA, width=100, length=LENGTH)
student = partial(Caser, USERS_GOWALLA, ITEMS_GOWALLA, width=50, length=LENGTH)

FULL = FullModel(
    build=teacher,
    published_parameters=5_580_000,
    within=0.001,
    source="Tang and Wang, Ranking Distillation, KDD 2018, with Caser of the same authors, WSDM "
    "2018; AIBench publishes 0.08 to 0.09 million operations, which are multiply-accumulates "
    "before any item is scored; the student has 2.79 million parameters",
    inputs=lambda: (
        torch.empty(1, dtype=torch.int64, device="meta"),
        torch.empty(1, LENGTH, dtype=torch.int64, device="meta"),
    ),
    published_macs=85_000,
)
