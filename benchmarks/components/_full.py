"""The paper's model at its full size, built without memory to be counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


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
        """Multiply-accumulates of one forward pass, in convolutions and matrix products.

        None where there are no inputs.
        """
        if self.inputs is None:
            return None
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            self._on_meta()(*self.inputs())
        return counter.get_total_flops() // 2

    def _on_meta(self) -> nn.Module:
        with torch.device("meta"):
            return self.build().eval()
