"""What trainings came to, and the figures that bounds can ask for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from pytest_aibench.bounds import Estimate, Violation
from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import meets, metric
from pytest_aibench.results.schema import TrainingEntry
from pytest_aibench.training.convergence import mean_cost, variation
from pytest_aibench.units import ENERGY, RATE, RATIO, TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class Complexity:
    """How large a task's model is, and how much it computes; None where that is unknown.

    Attributes:
        n_parameters: Learnable parameters of everything that is trained.
        macs_per_sample: Multiply-accumulates of answering the first test sample.
    """

    n_parameters: int | None = None
    macs_per_sample: int | None = None


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


Window = tuple[float, float]

_UNWATCHED = "nothing watched the device: train with the fixture `trainer`"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """One training that has ended, whether it reached its target or not.

    Attributes:
        metric: Name of the quality metric.
        target: The quality that was aimed at.
        seed: The random seed.
        n_samples: Number of training samples, all seen once in an epoch.
        batch_size: Samples in one optimiser step; the last of an epoch may be smaller.
        windows: Begin and end, in s on the clock that it was timed with; in several parts where its
            state was kept in between. Without those before it was resumed.
        epochs: The epochs, in order; at least one.
        state_dict: The weights after the last epoch, on the CPU.
        energy: What the device spent on it, evaluation included.
        processes: How many trained together, with one batch shared among them.
        resumed_after: Epochs after which it was interrupted, and went on later; the last one where
            it had ended before its session was interrupted.
        precision: What its steps computed in; weights and evaluations are fp32.
        compiled: Whether torch compiled its loss.
        determinism: What decides whether the same seed gives the same weights.
        elsewhere: Quality on other data, by data set; None where it was not measured.
    """

    metric: str
    target: float
    seed: int
    n_samples: int
    batch_size: int
    windows: tuple[Window, ...]
    epochs: tuple[Epoch, ...]
    state_dict: dict[str, Any] = field(repr=False)
    energy: Estimate = field(default_factory=lambda: not_measured(ENERGY, _UNWATCHED))
    processes: int = 1
    resumed_after: tuple[int, ...] = ()
    precision: str = "fp32"
    compiled: bool = False
    determinism: dict[str, Any] = field(default_factory=dict)
    elsewhere: dict[str, float | None] = field(default_factory=dict)

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
    def window(self) -> tuple[float, float]:
        """Begin of the first and end of the last of the windows."""
        return self.windows[0][0], self.windows[-1][1]

    @property
    def n_epochs(self) -> int:
        """Passes over the training data."""
        return len(self.epochs)

    @property
    def steps(self) -> int:
        """Optimiser steps taken."""
        return self.n_epochs * math.ceil(self.n_samples / self.batch_size)

    @property
    def n_trained(self) -> int:
        """Samples trained on, each as often as there were epochs."""
        return self.n_samples * self.n_epochs

    @property
    def train_s(self) -> float:
        """Seconds spent training, evaluation apart."""
        return math.fsum(epoch.train_s for epoch in self.epochs)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The rule that ended the training early: its quality must be measurable."""
        if self.quality.value is not None:
            return ()
        evidence = f"epoch {self.n_epochs}, seed {self.seed}: {self.quality.why_open}"
        return (Violation(rule="a training stays finite", evidence=evidence),)

    @property
    def shortfall(self) -> str:
        """Why there is no cost to quality; empty when the target was reached."""
        if self.reached_target:
            return ""
        if self.quality.value is None:
            return self.violations[0].evidence
        return (
            f"seed {self.seed} did not reach {self.metric} {self.target:g} in "
            f"{self.n_epochs} epochs, the last gave {self.quality.value:.4g}"
        )

    def entry(self) -> TrainingEntry:
        """This training as it stands in the record."""
        measured = [epoch for epoch in self.epochs if epoch.quality.value is not None]
        return TrainingEntry(
            seed=self.seed,
            epochs=self.n_epochs,
            duration_s=self.duration_s,
            samples_per_s=self.n_trained / self.train_s,
            quality_trace=[epoch.quality.value for epoch in measured],
            seconds_trace=[epoch.end_s for epoch in measured],
            reached_target=self.reached_target,
            n_samples=self.n_samples,
            batch_size=self.batch_size,
            train_seconds_trace=[epoch.train_s for epoch in measured],
            target=self.target,
            energy_j=self.energy.value,
            processes=self.processes,
            resumed_after=list(self.resumed_after),
            precision=self.precision,
            compiled=self.compiled,
            elsewhere=self.elsewhere,
        )


_COSTS: dict[str, tuple[Callable[[TrainingResult], float], str]] = {
    "time_to_quality": (attrgetter("duration_s"), TIME),
    "epochs_to_quality": (attrgetter("n_epochs"), RATIO),
    "steps_to_quality": (attrgetter("steps"), RATIO),
    "energy_to_quality": (attrgetter("energy.value"), ENERGY),
}
_VARIATIONS = ("variation", "variation_population")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainings:
    """Trainings of one task that differ in the seed alone and are judged together; often just one.

    Attributes:
        by_seed: They, in the order in which they ran; at least one.
    """

    by_seed: tuple[TrainingResult, ...]

    @property
    def metric(self) -> str:
        """Name of the quality metric."""
        return self.by_seed[0].metric

    @property
    def target(self) -> float:
        """The quality that was aimed at."""
        return self.by_seed[0].target

    @property
    def quality(self) -> Estimate:
        """That of the worst, since a target is what all seeds reach."""
        sign = 1 if metric(self.metric).better == "higher" else -1

        def worth(quality: Estimate) -> float:
            return -math.inf if quality.value is None else sign * quality.value

        return min((one.quality for one in self.by_seed), key=worth)

    @property
    def epochs(self) -> tuple[float, ...]:
        """Epochs to quality of each; infinite where the target was missed."""
        return self._costs(attrgetter("n_epochs"))

    @property
    def window(self) -> tuple[float, float]:
        """Begin of the first and end of the last, in s on the clock that they were timed with."""
        return self.by_seed[0].window[0], self.by_seed[-1].window[1]

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The rules that any of them broke."""
        return tuple(broken for one in self.by_seed for broken in one.violations)

    def names(self) -> tuple[str, ...]:
        """The figures that `estimate` knows."""
        return (self.metric, *_COSTS, *_VARIATIONS, "time_per_step", "throughput")

    def estimate(self, name: str) -> Estimate:
        """A figure by name, judged by its value.

        The quality is that of the worst seed. ``time_to_quality`` counts training and evaluation
        from the first batch on, in seconds. It and the other costs are olympic means of three seeds
        or more, in which one that missed the target counts as the slowest; means of fewer.
        ``energy_to_quality`` is what the device spent in that time, in joules, where telemetry
        reads it.
        ``variation`` is the coefficient of variation of ``epochs_to_quality``, estimated for all
        seeds (``ddof=1``), ``variation_population`` that of these (``ddof=0``).

        ``time_per_step`` and ``throughput``, in samples per second of training without evaluation,
        are means over all that was trained. For one or two seeds ``time_to_quality`` is
        ``steps_to_quality`` times ``time_per_step``, which differ in why and how much they vary:
        the one with the seed, the other with the machine.

        Raises:
            UserError: There is no such figure.
        """
        if name == self.metric:
            return self.quality
        if name == "energy_to_quality" and (unknown := self._energy_unknown()):
            return unknown
        if name in _COSTS:
            return self._mean_cost(*_COSTS[name])
        if name in _VARIATIONS:
            return self._variation(name)
        if name == "time_per_step":
            return self._time_per_step()
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

    def _costs(self, cost: Callable[[TrainingResult], float]) -> tuple[float, ...]:
        return tuple(cost(one) if one.reached_target else math.inf for one in self.by_seed)

    def _mean_cost(self, cost: Callable[[TrainingResult], float], unit: str) -> Estimate:
        costs = self._costs(cost)
        mean = mean_cost(costs)
        if not math.isfinite(mean):
            return not_measured(unit, self._shortfalls())
        return Estimate(value=mean, unit=unit, n=len(costs), by_value=True)

    def _energy_unknown(self) -> Estimate | None:
        return next((one.energy for one in self.by_seed if one.energy.value is None), None)

    def _variation(self, name: str) -> Estimate:
        n = len(self.by_seed)
        why_not = self._shortfalls() if n > 1 else "it takes two seeds: add --aibench-seeds=5"
        if why_not:
            return not_measured(RATIO, why_not)
        found = variation([one.n_epochs for one in self.by_seed])
        if name == "variation_population":
            return Estimate(value=found.population, n=n, by_value=True)
        is_open = math.isinf(found.high)
        return Estimate(
            value=found.sample,
            low=found.low,
            high=None if is_open else found.high,
            n=n,
            by_value=True,
            why_open=f"{n} seeds are too few for an upper end" if is_open else "",
        )

    def _time_per_step(self) -> Estimate:
        steps = sum(one.steps for one in self.by_seed)
        duration_s = math.fsum(one.duration_s for one in self.by_seed)
        return Estimate(value=duration_s / steps, unit=TIME, n=steps, by_value=True)

    def _throughput(self) -> Estimate:
        n_trained = sum(one.n_trained for one in self.by_seed)
        train_s = math.fsum(one.train_s for one in self.by_seed)
        n_epochs = sum(one.n_epochs for one in self.by_seed)
        return Estimate(value=n_trained / train_s, unit=RATE, n=n_epochs, by_value=True)

    def _shortfalls(self) -> str:
        return "; ".join(filter(None, (one.shortfall for one in self.by_seed)))


def not_measured(unit: str, why: str) -> Estimate:
    """A figure that there is not, and why."""
    return Estimate(value=None, unit=unit, by_value=True, why_open=why)
