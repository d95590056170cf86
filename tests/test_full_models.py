"""The papers' models at full size have the weights and the cost that were published of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.components import full_models
from benchmarks.components._full import FullModel

MODELS = full_models()
MACS_WITHIN = 0.02

every_model = pytest.mark.parametrize("full", MODELS.values(), ids=MODELS)


@every_model
def test_weights_are_as_many_as_published(full: FullModel) -> None:
    published = full.published_parameters
    assert abs(full.parameters() - published) <= full.within * published, full.parameters()
    assert full.within <= 0.01 or full.note
    assert full.source


@every_model
def test_multiply_accumulates_are_as_many_as_published(full: FullModel) -> None:
    assert full.macs() != 0
    if full.published_macs is not None:
        assert full.macs() == pytest.approx(full.published_macs, rel=MACS_WITHIN)


def test_counts_of_a_small_model() -> None:
    small = FullModel(
        build=lambda: nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.Flatten(), nn.Linear(12, 5)),
        published_parameters=0,
        source="",
        inputs=lambda: (torch.empty(1, 2, 4, 4, device="meta"),),
    )
    assert small.parameters() == 2 * 3 * 9 + 12 * 5 + 5
    assert small.macs() == 2 * 3 * 9 * 4 + 12 * 5
