"""What several tasks share: a layer, a loss, learning-rate schedules, and a trivial answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR

from pytest_aibench.datasets import Dataset


@dataclass(frozen=True, slots=True)
class OneCycle:
    """Makes the schedule that goes up once, then down along a cosine (Smith and Topin, 2017).

    Attributes:
        peak: The highest learning rate.
        rise: Share of the steps in which it goes up; of few steps it takes two.
        momentum: Turn the momentum, or Adam's first beta, the other way.
    """

    peak: float
    rise: float = 0.25
    momentum: bool = True

    def __call__(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """The schedule of an optimiser, for so many steps."""
        shortest = 2 / max(steps, 3)  # torch divides by one step less than go up
        return OneCycleLR(
            optimizer,
            self.peak,
            total_steps=steps,
            pct_start=max(self.rise, shortest),
            cycle_momentum=self.momentum,
        )


@dataclass(frozen=True, slots=True)
class Drops:
    """Makes the schedule that divides the learning rate now and then; without drops it is even.

    Attributes:
        at: Where, as shares of all steps.
        factor: What the rate is multiplied by.
    """

    at: tuple[float, ...] = ()
    factor: float = 0.1

    def __call__(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """The schedule of an optimiser, for so many steps."""
        return MultiStepLR(optimizer, [round(share * steps) for share in self.at], self.factor)


class InFullPrecision(nn.Linear):
    """A linear layer that computes in fp32 in every precision: torch quantises no subclass."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        return functional.linear(inputs.float(), self.weight.float(), self.bias.float())


def cross_entropy(model: nn.Module, inputs: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of the model's logits, or of its log-probabilities."""
    return functional.cross_entropy(model(inputs), classes)


def most_frequent_class(train: Dataset, test: Dataset) -> Sequence[int]:
    """The class that most training samples have, for each test sample."""
    return [int(np.bincount(train.references).argmax())] * len(test)
