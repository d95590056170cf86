"""A small data set, models of it, and benchmarks of them on a clock that a test moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_aibench.bounds import Bound, at_least, at_most
from pytest_aibench.datasets.base import Dataset
from pytest_aibench.inference.result import LoadResult
from pytest_aibench.inference.runner import LoadGenerator
from pytest_aibench.loadgen.clock import Clock
from pytest_aibench.loadgen.effort import Effort
from pytest_aibench.outcome import Outcome
from pytest_aibench.scenarios import MultiStream, Offline, Scenario, Server, SingleStream
from tests.fakes import FakeClock

MS = 1_000_000
EFFORT = Effort("test", min_duration_s=0.02, budget_s=1.0, sequential=True)
FIXED = Effort("test", min_duration_s=0.02, budget_s=1.0, sequential=False)
SCENARIOS: tuple[Scenario, ...] = (
    SingleStream(),
    MultiStream(samples_per_query=4),
    Server(target_qps=1000, latency_bound="50 ms"),
    Offline(),
)
BOUNDS: Mapping[str, Bound] = {
    "top1": at_least(0.9),
    "p90": at_most("50 ms"),
    "throughput": at_least("20 samples/s"),
}


def numbers(n: int = 40) -> Dataset:
    """Samples that are numbers; the right answer is the last digit."""
    return Dataset(
        name="numbers",
        split="test",
        samples=np.arange(n, dtype=np.float64),
        references=np.arange(n) % 10,
        licence="none",
        source="made up",
    )


def last_digits(samples: Sequence[Any]) -> list[int]:
    """The right answers."""
    return [int(sample) % 10 for sample in samples]


@dataclass
class Taking:
    """A model that takes a ms for each sample of fake time, and answers rightly."""

    clock: FakeClock
    per_sample_ns: int = MS
    answer: Callable[[Sequence[Any]], Any] = last_digits
    calls: list[list[int]] = field(default_factory=list)

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Answer."""
        self.calls.append([int(sample) for sample in samples])
        self.clock.now_ns += self.per_sample_ns * len(samples)
        return self.answer(samples)


@dataclass
class Bench:
    """Benchmarks whose outcomes a test can see."""

    clock: Clock | None = None
    effort: Effort = EFFORT
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def generator(self) -> LoadGenerator:
        """What the fixture would give."""
        return LoadGenerator(effort=self.effort, settle=self._settle, memory={}, clock=self.clock)

    def run(self, model: Any, scenario: Scenario, **options: Any) -> LoadResult:
        """Load a model."""
        return self.generator.run(model, options.pop("dataset", numbers()), scenario, **options)

    def outcome(
        self, model: Any, scenario: Scenario, bounds: Mapping[str, Bound] = BOUNDS, **options: Any
    ) -> Outcome:
        """Load a model and judge it."""
        self.run(model, scenario, bounds=bounds, **options).require()
        return self.outcomes[-1]

    def _settle(self, result: LoadResult, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
