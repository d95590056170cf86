"""Real pretrained models, served as they were published; skipped until they are fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.pretrained import MODELS
from pytest_aibench import BatchingServer, Scenario, Server
from pytest_aibench.datasets import get
from pytest_aibench.training import quantization

if TYPE_CHECKING:
    from benchmarks.pretrained import Pretrained
    from pytest_aibench.devices import Device
    from pytest_aibench.inference.runner import LoadGenerator

LOADS = [
    pytest.param(model, scenario, id=f"{model}-{scenario.id}")
    for model in MODELS
    for scenario in model.scenarios
]


@pytest.mark.pretrained
@pytest.mark.parametrize(("model", "scenario"), LOADS)
def test_pretrained(
    loadgen: LoadGenerator,
    device: Device,
    precision: str,
    model: Pretrained,
    scenario: Scenario,
) -> None:
    """A published model answers as well as it did when it was first measured, and as fast."""
    model.check_fetched()
    served = model.serve(device, precision)
    gathers = isinstance(scenario, Server) and not model.streamed
    result = loadgen.run(
        BatchingServer(served, model.max_batch) if gathers else served,
        get(model.name),
        scenario,
        bounds=model.bounds(scenario),
        references={} if precision == "fp32" else {"fp32": model.serve(device, "fp32")},
        max_batch=model.max_batch,
        # In int8 the range of a batch's activations is that of its samples together.
        may_differ=1.0 if precision == "int8" else 0.0,
        provenance={**model.provenance, **quantization(served)},
    )
    result.require(**model.required(precision))
