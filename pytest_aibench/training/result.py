"""What a training came to, and the figures that bounds can ask for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from pytest_aibench.bounds import Estimate, Violation
from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import meets, metric
from pytest_aibench.results.schema import TrainingEntry
from pytest_aibench.units import RATE, RATIO, TIME

_FIGURES = (
    "time_to_quality",
    "epochs_to_quality",
    "steps_to_quality",
    "time_per_step",
    "throughput",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One pass over the training data, and what the model was worth after it.

    Attributes:
        loss: Mean loss over the training samples.
        quality: Quality on the test split; without a value when it could not be measured.
        train_s: Seconds spent training in this epoch, evaluation apart.
        end_s: Seconds from the start of the training to the end of this epoch's evaluation.
    """

    loss: float
    quality: Estimate
    train_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """A training that has ended, whether it reached its target or not.

    Attributes:
        metric: Name of the quality metric.
        target: The quality that was aimed at.
        seed: The random seed.
        n_samples: Number of training samples, all seen once in an epoch.
        batch_size: Samples in one optimiser step; the last of an epoch may be smaller.
        epochs: The epochs, in order; at least one.
        state_dict: The weights after the last epoch, on the CPU.
    """

    metric: str
    target: float
    seed: int
    n_samples: int
    batch_size: int
    epochs: tuple[Epoch, ...]
    state_dict: dict[str, Any] = field(repr=False)

    @property
    def quality(self) -> Estimate:
        """Quality after the last epoch."""
        return self.epochs[-1].quality

    @property
    def reached_target(self) -> bool:
        """Whether the last epoch brought the target."""
        return meets(metric(self.metric), self.quality, self.target)

    @property
    def duration_s(self) -> float:
        """Seconds from the first batch to the end of the last evaluation."""
        return self.epochs[-1].end_s

    @property
    def steps(self) -> int:
        """Optimiser steps taken."""
        return len(self.epochs) * math.ceil(self.n_samples / self.batch_size)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The rule that ended the training early: its quality must be measurable."""
        if self.quality.value is not None:
            return ()
        evidence = f"epoch {len(self.epochs)}, seed {self.seed}: {self.quality.why_open}"
        return (Violation(rule="a training stays finite", evidence=evidence),)

    def names(self) -> tuple[str, ...]:
        """The figures that `estimate` knows."""
        return (self.metric, *_FIGURES)

    def estimate(self, name: str) -> Estimate:
        """A figure by name: one training has no interval, so its figures are judged by value.

        ``time_to_quality`` counts training and evaluation from the first batch on, in seconds.
        It is ``steps_to_quality`` times ``time_per_step``, which differ in why and how much they
        vary: the one with the seed, the other with the machine.
        ``throughput`` is in training samples per second of training, evaluation apart.

        Raises:
            UserError: There is no such figure.
        """
        if name == self.metric:
            return self.quality
        if name == "time_to_quality":
            return self._to_quality(self.duration_s, TIME)
        if name == "epochs_to_quality":
            return self._to_quality(len(self.epochs), RATIO)
        if name == "steps_to_quality":
            return self._to_quality(self.steps, RATIO)
        if name == "time_per_step":
            return Estimate(
                value=self.duration_s / self.steps, unit=TIME, n=self.steps, by_value=True
            )
        if name == "throughput":
            return self._throughput()
        raise UserError(f"a training has no figure {name!r}: use one of {', '.join(self.names())}")

    def excluded(self, name: str) -> None:
        """No figure of a training is without meaning."""

    def reference(self, reference: str, name: str) -> float:
        """A training stands alone.

        Raises:
            UserError: Always.
        """
        raise UserError(
            f"{name}: a training has no reference {reference!r}: give a bound in absolute units"
        )

    def entry(self) -> TrainingEntry:
        """This training as it stands in the record."""
        measured = [epoch for epoch in self.epochs if epoch.quality.value is not None]
        return TrainingEntry(
            seed=self.seed,
            epochs=len(self.epochs),
            duration_s=self.duration_s,
            samples_per_s=self._throughput().value or 0.0,
            quality_trace=[epoch.quality.value for epoch in measured],
            seconds_trace=[epoch.end_s for epoch in measured],
            reached_target=self.reached_target,
            target=self.target,
        )

    def _to_quality(self, cost: float, unit: str) -> Estimate:
        if self.reached_target:
            return Estimate(value=cost, unit=unit, n=1, by_value=True)
        return Estimate(value=None, unit=unit, by_value=True, why_open=self._shortfall())

    def _shortfall(self) -> str:
        if self.quality.value is None:
            return self.violations[0].evidence
        return (
            f"the target {self.metric} {self.target:g} was not reached in "
            f"{len(self.epochs)} epochs, the last gave {self.quality.value:.4g}"
        )

    def _throughput(self) -> Estimate:
        trained_s = sum(epoch.train_s for epoch in self.epochs)
        rate = self.n_samples * len(self.epochs) / trained_s
        return Estimate(value=rate, unit=RATE, n=len(self.epochs), by_value=True)
