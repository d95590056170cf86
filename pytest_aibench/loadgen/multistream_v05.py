"""The multi-stream scenario of MLPerf Inference v0.5 to v1.1: queries at a fixed interval.

Every tick a query of as many samples as there are streams is due. A system that is not done by
the next tick skips it. The metric is the largest number of streams with which hardly any query
takes more than one interval (LoadGen, branch r0.5; inference rules of round v0.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

import numpy as np

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.clock import Clock
from pytest_aibench.loadgen.percentiles import percentile_index
from pytest_aibench.loadgen.streams import IntArray

_MOST_INTERVALS = 2
"""A query's interval count must stay below this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedInterval:
    """When queries are due.

    Attributes:
        qps: Ticks per second.
        max_async: Most queries that may be unanswered at a time.
        percentile: Share of the queries that must be done within one interval.
    """

    qps: float
    max_async: int = 1
    percentile: float = 0.99

    def __post_init__(self) -> None:
        if self.qps <= 0 or self.max_async < 1 or not 0 < self.percentile < 1:
            raise UserError(f"{self} needs qps > 0, max_async >= 1 and 0 < percentile < 1")

    def tick_ns(self, tick: int) -> int:
        """The moment of a tick, in ns from the start."""
        return int(tick * 1e9 / self.qps)

    def next_tick(self, tick: int, now_ns: int) -> int:
        """The first tick after ``tick`` that has not passed."""
        later = max(tick + 1, int(now_ns * self.qps / 1e9))
        while self.tick_ns(later) < now_ns:
            later += 1
        return later


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FixedIntervalLoad:
    """A finished load; arrays per query, times in ns from the start.

    Attributes:
        interval: When queries were due.
        ticks: The tick of each query; the first possible one is 1.
        issued_ns: When each query was handed to the system.
        completed_ns: When it was answered.
    """

    interval: FixedInterval
    ticks: IntArray
    issued_ns: IntArray
    completed_ns: IntArray

    @property
    def latency_ns(self) -> IntArray:
        """Completed minus scheduled, which is the query's tick."""
        scheduled = [self.interval.tick_ns(tick) for tick in self.ticks.tolist()]
        return self.completed_ns - np.array(scheduled, np.int64)

    @property
    def met(self) -> bool:
        """Whether the percentile of the queries took one interval each."""
        counts = interval_counts(self.interval, self.ticks, self.latency_ns)
        return within_one_interval(counts, self.interval.percentile)


def ticks_of(interval: FixedInterval, latencies_ns: Sequence[int]) -> IntArray:
    """The tick to which each query goes, given the latency of each from its tick on."""
    # The latest completions, max_async of them: the first of these makes room for a query.
    running: list[int] = []
    ticks: list[int] = []
    tick = room_ns = 0
    for latency_ns in latencies_ns:
        now_ns = max(room_ns, interval.tick_ns(tick))
        tick = interval.next_tick(tick, now_ns)
        ticks.append(tick)
        completed_ns = interval.tick_ns(tick) + latency_ns
        heappush(running, completed_ns)
        if len(running) > interval.max_async:
            heappop(running)
        room_ns = running[0] if len(running) == interval.max_async else 0
    return np.array(ticks, np.int64)


def interval_counts(interval: FixedInterval, ticks: IntArray, latencies_ns: IntArray) -> IntArray:
    """How many intervals each query took.

    It is the number of ticks from the query before to that ``max_async`` queries later, which had
    to wait for it; for the last queries, on which none waits, their latency in intervals.
    """
    consumed = np.diff(ticks, prepend=0)[interval.max_async :]
    last = latencies_ns[len(consumed) :]
    return np.concatenate([consumed, np.ceil(interval.qps * last / 1e9).astype(np.int64)])


def within_one_interval(counts: IntArray, percentile: float) -> bool:
    """Whether the percentile of the interval counts is below two."""
    ordered = np.sort(counts)
    return bool(ordered[percentile_index(len(ordered), percentile)] < _MOST_INTERVALS)


def run_fixed_interval(
    respond: Callable[[Sequence[int]], Any],
    queries: Iterable[Sequence[int]],
    interval: FixedInterval,
    clock: Clock,
) -> FixedIntervalLoad:
    """Give queries to a system that answers in the call, one at its tick each.

    Args:
        respond: The system; takes the sample indices of a query and returns when it is answered.
        queries: Sample indices of each query.
        interval: When queries are due.
        clock: Where all times come from.
    """
    begin, tick = clock.now(), 0
    ticks, issued, completed = [], [], []
    for query in queries:
        tick = interval.next_tick(tick, clock.now() - begin)
        issued.append(clock.sleep_until(begin + interval.tick_ns(tick)) - begin)
        respond(query)
        completed.append(clock.now() - begin)
        ticks.append(tick)
    return FixedIntervalLoad(
        interval=interval,
        ticks=np.array(ticks, np.int64),
        issued_ns=np.array(issued, np.int64),
        completed_ns=np.array(completed, np.int64),
    )


def most_streams(met: Callable[[int], bool]) -> int:
    """The metric: the largest number of streams that meets the limit, 0 when one does not.

    Doubles until it fails, then bisects, as LoadGen's search for the peak did.

    Args:
        met: Loads the system with so many samples per query, and says whether it kept up.
    """
    good, bad = 0, 1
    while met(bad):
        good, bad = bad, 2 * bad
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if met(middle) else (good, middle)
    return good
