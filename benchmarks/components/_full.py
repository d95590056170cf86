"""The paper's model at its full size, built without memory to be counted, and how it is served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pytest_aibench.bounds import at_least
from pytest_aibench.scenarios import MultiStream, Offline, Server, SingleStream
from pytest_aibench.training import multiply_accumulates

SCENARIOS = (
    SingleStream(latency_bound="1 s"),
    MultiStream(latency_bound="4 s"),
    Server(target_qps=10, latency_bound="2 s", percentile=0.9),
    Offline(),
)
"""Loads of models for which nobody has published latency bounds: what a person may wait for."""

THROUGHPUT = at_least("10 samples/s")


@dataclass(frozen=True, slots=True, kw_only=True)
class FullModel:
    """An architecture, and the figures that were published of it.

    Attributes:
        build: Makes the model.
        published_parameters: Number of its weights, as published.
        source: Where the architecture and the figures stand.
        within: By which share the number of weights may differ.
        note: Why it differs, where it does by more than 1 %.
        inputs: Makes the arguments of one forward pass, on the ``meta`` device.
        published_macs: Multiply-accumulates of that pass, as published; None where they are not.
    """

    build: Callable[[], nn.Module]
    published_parameters: int
    source: str
    within: float = 0.0
    note: str = ""
    inputs: Callable[[], tuple[Any, ...]] | None = None
    published_macs: int | None = None

    def parameters(self) -> int:
        """Number of weights that are learnt."""
        return sum(weight.numel() for weight in self._on_meta().parameters())

    def macs(self) -> int | None:
        """Multiply-accumulates of one forward pass; None where there are no inputs."""
        if self.inputs is None:
            return None
        model, inputs = self._on_meta(), self.inputs()
        with torch.no_grad():
            return multiply_accumulates(lambda: model(*inputs))

    def _on_meta(self) -> nn.Module:
        with torch.device("meta"):
            return self.build().eval()
