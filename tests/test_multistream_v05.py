"""Multi-stream of v0.5: a query at every tick, and the number of streams that a system bears."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_aibench.bounds import Verdict, at_least
from pytest_aibench.errors import UserError
from pytest_aibench.inference.result import LoadResult
from pytest_aibench.loadgen.arrivals import FixedInterval
from pytest_aibench.loadgen.effort import EFFORTS, StopRule
from pytest_aibench.loadgen.engine import engine_for
from pytest_aibench.loadgen.journal import EveryAnswer, Load
from pytest_aibench.loadgen.percentiles import percentile_index
from pytest_aibench.loadgen.plan import QueryPlan
from pytest_aibench.loadgen.systems import Query, adapt
from pytest_aibench.scenarios import MultiStream
from tests.fakes import FakeClock
from tests.loads import FIXED, MS, Bench, Taking, numbers

US = 1_000
INTERVAL = 50 * US  # a concurrent engine waits for longer times in earnest
EVERY_50_MS = MultiStream(interval="50 ms")
TO_THE_END = StopRule(min_queries=10**9, min_duration_ns=2**62, budget_ns=None)

latencies_in_us = st.lists(st.integers(1, 300), min_size=1, max_size=30)


def loadgen_ticks(latencies_ns: Sequence[int]) -> list[int]:
    """LoadGen's own loop (branch r0.5): advance a tick, and more while the tick has passed."""
    ticks, tick, now = [], 0, 0
    for latency in latencies_ns:
        tick += 1
        while tick * INTERVAL < now:
            tick += 1
        ticks.append(tick)
        now = tick * INTERVAL + latency
    return ticks


def loadgen_met(latencies_ns: Sequence[int], percentile: float) -> bool:
    """LoadGen's verdict: how many ticks each query took, of which the percentile must be one.

    They are the ticks up to the next query; of the last query, its latency in ticks.
    """
    taken = np.diff(loadgen_ticks(latencies_ns)).tolist()
    taken.append(math.ceil(latencies_ns[-1] / INTERVAL))
    return bool(sorted(taken)[percentile_index(len(taken), percentile)] < 2)


class Indices:
    """Samples that are their own index."""

    def take(self, indices: Any, /) -> list[int]:
        """The samples."""
        return list(indices)


class Later:
    """A system that knows at once when it will have answered."""

    def __init__(self, clock: FakeClock, latencies_ns: Sequence[int]) -> None:
        self.clock = clock
        self.latencies_ns = latencies_ns

    def start(self) -> None:
        """Nothing to do."""

    def issue(self, query: Query) -> None:
        """Answer after its latency."""
        query.complete(query.samples, at_ns=self.clock.now() + self.latencies_ns[query.id])

    def flush(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Nothing to do."""


def played(latencies_ns: Sequence[int], *, inline: bool) -> Load:
    """The load of a system with these latencies."""
    clock = FakeClock(now_ns=7)
    left = iter(latencies_ns)

    def answer(samples: Sequence[Any]) -> Sequence[Any]:
        clock.now_ns += next(left)
        return samples

    system = adapt(answer if inline else Later(clock, latencies_ns))
    queries = np.arange(3 * len(latencies_ns)).reshape(-1, 3)
    engine = engine_for(system, Indices(), clock)
    with engine.at_work():
        plan = QueryPlan(iter([queries]), FixedInterval(INTERVAL))
        return engine.run(plan, TO_THE_END, EveryAnswer())


@pytest.mark.parametrize(
    ("latencies_us", "due_us"),
    [
        ([10, 50, 20], [50, 100, 150]),
        # The second takes until 151 µs: the tick at 150 µs is missed.
        ([10, 51, 20], [50, 100, 200]),
        ([120, 20, 20], [50, 200, 250]),
        ([150, 20], [50, 200]),
    ],
)
@pytest.mark.parametrize("inline", [True, False])
def test_queries_are_due_at_ticks(latencies_us: list[int], due_us: list[int], inline: bool) -> None:
    load = played([latency * US for latency in latencies_us], inline=inline)
    assert (load.due_ns // US).tolist() == due_us
    assert load.issued_ns.tolist() == load.due_ns.tolist()
    assert (load.latency_ns // US).tolist() == latencies_us
    assert load.sizes.tolist() == [3] * len(due_us)


@settings(max_examples=50)
@given(latencies_in_us, st.booleans())
def test_the_ticks_are_those_of_loadgen(latencies_us: list[int], inline: bool) -> None:
    latencies = [latency * US for latency in latencies_us]
    ticks = played(latencies, inline=inline).due_ns // INTERVAL
    assert ticks.tolist() == loadgen_ticks(latencies)


@given(latencies_in_us, st.sampled_from([0.5, 0.9, 0.99]))
def test_loadgens_verdict_is_a_bound_of_one_interval_on_latency(
    latencies_us: list[int], percentile: float
) -> None:
    latencies = [latency * US for latency in latencies_us]
    judged = sorted(latencies)[percentile_index(len(latencies), percentile)]
    assert (judged <= INTERVAL) is loadgen_met(latencies, percentile)


def run(samples_per_query: int, **options: Any) -> tuple[Bench, LoadResult]:
    """A model of 7 ms a sample does 7 samples, 49 ms, in an interval of 50 ms."""
    clock = FakeClock()
    bench = Bench(clock, replace(FIXED, budget_s=None))
    scenario = replace(EVERY_50_MS, samples_per_query=samples_per_query)
    return bench, bench.run(Taking(clock, 7 * MS), scenario, **options)


@pytest.mark.parametrize(("streams", "verdict"), [(7, Verdict.PASSED), (8, Verdict.FAILED)])
def test_the_bound_is_one_interval(streams: int, verdict: Verdict) -> None:
    bench, result = run(streams)
    result.require()
    (check,) = bench.outcomes[-1].checks
    assert (check.name, str(check.bound), check.verdict) == ("p99", "≤ 50 ms", verdict)
    assert result.settings["interval"] == "50 ms"
    ticks = np.diff(result.load.due_ns) // (50 * MS)
    assert set(ticks.tolist()) == {1 if streams == 7 else 2}


def test_the_metric_is_the_number_of_streams() -> None:
    clock = FakeClock()
    bench = Bench(clock, EFFORTS["quick"])
    scenario = replace(EVERY_50_MS, percentile=0.9)
    found = bench.generator.find_peak(
        Taking(clock, 7 * MS), numbers(), scenario, max_queries=10_000, max_duration="600 min"
    )
    found.require(peak_streams=at_least("7 streams"))
    assert found.found.peak.value == 7
    assert bench.outcomes[-1].verdict is Verdict.PASSED


def test_a_late_generator_is_found() -> None:
    class Sleepy(FakeClock):
        """Oversleeps by 6 ms."""

        def sleep_until(self, due: int) -> int:
            """Sleep too long."""
            return super().sleep_until(due + 6 * MS)

    clock = Sleepy()
    result = Bench(clock, FIXED).run(Taking(clock), EVERY_50_MS)
    (violation,) = result.violations
    assert violation.rule == "the load generator keeps time"
    assert "p99 lateness 6 ms, allowed 5 ms" in violation.evidence


@pytest.mark.parametrize(
    ("scenario", "short_id"),
    [
        (MultiStream(interval="50 ms"), "multi_stream-50ms"),
        (MultiStream(interval="66 ms", samples_per_query=2), "multi_stream-2-66ms"),
    ],
)
def test_ids(scenario: MultiStream, short_id: str) -> None:
    assert scenario.id == short_id


def test_a_bound_of_its_own() -> None:
    scenario = MultiStream(interval="50 ms", latency_bound="40 ms")
    assert (scenario.interval_s, scenario.latency_bound_s) == (0.05, 0.04)
    assert MultiStream().interval_s is None
    with pytest.raises(UserError, match="cannot read the quantity 'soon'"):
        MultiStream(interval="soon")
