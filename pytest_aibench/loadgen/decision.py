"""Decides while a load runs whether its bounds are certain, so that it need not run on.

A bound that is certainly missed ends the load at once. Bounds that are certainly met end it when
the shortest duration is over: a queue that fills slowly needs time to show itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pytest_aibench.bounds import Bound, Estimate, Verdict
from pytest_aibench.loadgen.journal import NEVER, Journal, completions
from pytest_aibench.loadgen.percentiles import figure_percentile, percentile_estimate
from pytest_aibench.loadgen.stopping import Decision, PercentileTest, ThroughputTest
from pytest_aibench.loadgen.throughput import Completions, throughput_estimate


class Estimator(Protocol):
    """Turns a finished load into figures with intervals."""

    def percentile(self, sorted_latencies_s: npt.NDArray[np.float64], p: float) -> Estimate:
        """A latency percentile."""

    def throughput(self, completions: Completions) -> Estimate:
        """Samples per second."""


class FixedEstimator:
    """Intervals of a load whose length did not depend on what it showed."""

    def percentile(self, sorted_latencies_s: npt.NDArray[np.float64], p: float) -> Estimate:
        """A latency percentile with the order-statistic interval of one look."""
        return percentile_estimate(sorted_latencies_s, p)

    def throughput(self, completions: Completions) -> Estimate:
        """Samples per second with the batch-means interval of one look."""
        return throughput_estimate(completions)


class _Watch(Protocol):
    def look(self, journal: Journal) -> Decision | None: ...


@dataclass(slots=True)
class OverCount:
    """Counts the queries of a running load that are over a latency bound.

    Attributes:
        bound_s: The bound in seconds.
        queries: Settled queries: answered, or unanswered beyond the bound.
        over: How many of them are over.
    """

    bound_s: float
    queries: int = 0
    over: int = 0

    def update(self, journal: Journal) -> None:
        """Count the queries settled since the last time."""
        limit_ns = int(self.bound_s * 1e9)
        # Fewer than before when the queries known then had all been answered.
        settled = max(_n_settled(journal, limit_ns), self.queries)
        fresh = slice(self.queries, settled)
        due = np.frombuffer(journal.due or journal.issued, np.int64)[fresh]
        completed = np.frombuffer(journal.completed, np.int64)[fresh]
        self.over += int(((completed == NEVER) | (completed - due > limit_ns)).sum())
        self.queries = settled


class _LatencyWatch:
    """Decides a bound on a latency percentile."""

    def __init__(self, name: str, bound: Bound, test: PercentileTest) -> None:
        self._what = f"{name} {bound}"
        self._test = test
        self._count = OverCount(bound.limit.value)

    def look(self, journal: Journal) -> Decision | None:
        count = self._count
        count.update(journal)
        verdict = self._test.decide(count.queries, count.over)
        return None if verdict is None else Decision(self._what, verdict, count.queries)


@dataclass
class _ThroughputWatch:
    """Takes the looks of a throughput test as they fall due."""

    name: str
    bound: Bound
    test: ThroughputTest
    looks: int = 0

    def look(self, journal: Journal) -> Decision | None:
        due = self.test.look(len(journal.completed) - journal.n_open)
        if due <= self.looks:
            return None
        self.looks = due
        verdict = self.test.decide(due, _completions(journal))
        if verdict is None:
            return None
        return Decision(f"{self.name} {self.bound}", verdict, len(journal))


class SequentialDecision:
    """Watches all bounds on performance that can be decided under load."""

    def __init__(self, bounds: Mapping[str, Bound]) -> None:
        import_module("scipy.special")  # now, because at the first look it would delay queries
        self._watches: list[_Watch] = [
            watch for name, bound in bounds.items() if (watch := _watch(name, bound)) is not None
        ]
        self._decisions: dict[int, Decision] = {}

    def __bool__(self) -> bool:
        return bool(self._watches)

    def look(self, journal: Journal) -> tuple[Verdict, str] | None:
        """The verdict on all bounds and why it is certain, or None to go on."""
        for number, watch in enumerate(self._watches):
            if number not in self._decisions and (decision := watch.look(journal)) is not None:
                self._decisions[number] = decision
                if decision.verdict is Verdict.FAILED:
                    return Verdict.FAILED, str(decision)
        if len(self._decisions) < len(self._watches):
            return None
        return Verdict.PASSED, "; ".join(map(str, self._decisions.values()))

    def percentile(self, sorted_latencies_s: npt.NDArray[np.float64], p: float) -> Estimate:
        """A latency percentile with an interval that is valid although the load was watched."""
        return PercentileTest(p).estimate(sorted_latencies_s)

    def throughput(self, completions: Completions) -> Estimate:
        """Samples per second with the interval of the last look, or of one more if undecided."""
        test = ThroughputTest(0.0)
        decided = len(self._decisions) == len(self._watches)
        look = test.look(len(completions.completed_ns)) + (0 if decided else 1)
        return test.estimate(max(look, 1), completions)


def _watch(name: str, bound: Bound) -> _Watch | None:
    if bound.reference is not None:
        return None
    percentile = figure_percentile(name)
    if percentile is not None and not bound.at_least:
        return _LatencyWatch(name, bound, PercentileTest(percentile))
    if name == "throughput" and bound.at_least:
        return _ThroughputWatch(name, bound, ThroughputTest(bound.limit.value))
    return None


def _n_settled(journal: Journal, limit_ns: int) -> int:
    """How many queries, counted from the first, are answered or already over the limit.

    Counting only the answered ones of those under way would favour the quick.
    """
    if not journal.n_open:
        return len(journal.completed)
    return bisect_right(journal.due or journal.issued, journal.looked_at - limit_ns)


def _completions(journal: Journal) -> Completions:
    completed = np.frombuffer(journal.completed, np.int64)
    return completions(journal.begin, completed, np.frombuffer(journal.sizes, np.int64))
