"""Multi-stream of v0.5: ticks, interval counts and the number of streams, worked by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.multistream_v05 import (
    FixedInterval,
    FixedIntervalLoad,
    interval_counts,
    most_streams,
    run_fixed_interval,
    ticks_of,
    within_one_interval,
)
from tests.fakes import FakeClock

MS = 1_000_000
EVERY_50_MS = FixedInterval(qps=20)


@pytest.mark.parametrize(
    ("tick", "now_ms", "following"),
    [
        (0, 0, 1),
        (0, 49, 1),
        (0, 50, 1),
        (0, 51, 2),
        (1, 51, 2),
        (1, 100, 2),
        (1, 100.001, 3),
        (1, 499, 10),
        (7, 120, 8),
    ],
)
def test_next_tick(tick: int, now_ms: float, following: int) -> None:
    assert EVERY_50_MS.next_tick(tick, int(now_ms * MS)) == following


@given(qps=st.floats(0.1, 1e5), tick=st.integers(0, 10**6), now_ns=st.integers(0, 10**12))
def test_next_tick_is_the_first_one_left(qps: float, tick: int, now_ns: int) -> None:
    interval = FixedInterval(qps=qps)
    following = interval.next_tick(tick, now_ns)
    assert following > tick
    assert interval.tick_ns(following) >= now_ns
    assert following == tick + 1 or interval.tick_ns(following - 1) < now_ns


@pytest.mark.parametrize(
    ("latencies_ms", "ticks", "counts"),
    [
        ([10, 50, 20], [1, 2, 3], [1, 1, 1]),
        # The second takes until 151 ms: tick 3, at 150 ms, is missed.
        ([10, 51, 20], [1, 2, 4], [1, 2, 1]),
        ([120, 20, 20], [1, 4, 5], [3, 1, 1]),
        ([10, 10, 101], [1, 2, 3], [1, 1, 3]),
    ],
)
def test_one_query_at_a_time(latencies_ms: list[int], ticks: list[int], counts: list[int]) -> None:
    latencies = np.array(latencies_ms) * MS
    made = ticks_of(EVERY_50_MS, latencies.tolist())
    assert made.tolist() == ticks
    assert interval_counts(EVERY_50_MS, made, latencies).tolist() == counts


def test_two_queries_at_a_time() -> None:
    interval = FixedInterval(qps=20, max_async=2)
    latencies = np.array([120, 30, 60, 10, 70]) * MS
    # At 100 ms the first, done at 170 ms, is out alone, so the second goes. At 150 ms the second
    # is done, so the third goes. At 200 ms the third is out until 210 ms, and at 250 ms nothing.
    ticks = ticks_of(interval, latencies.tolist())
    assert ticks.tolist() == [1, 2, 3, 4, 5]
    assert interval_counts(interval, ticks, latencies).tolist() == [1, 1, 1, 1, 2]


def test_waiting_for_the_first_of_two() -> None:
    interval = FixedInterval(qps=20, max_async=2)
    latencies = np.array([160, 170, 10]) * MS
    # The first is done at 210 ms, the second at 270 ms: the third goes at tick 5, at 250 ms.
    ticks = ticks_of(interval, latencies.tolist())
    assert ticks.tolist() == [1, 2, 5]
    assert interval_counts(interval, ticks, latencies).tolist() == [3, 4, 1]


def test_the_percentile_of_the_counts() -> None:
    one, two = [1], [2]
    assert within_one_interval(np.array(99 * one + one), 0.99)
    # Of 100 counts in order the one with index 99, the largest, decides.
    assert not within_one_interval(np.array(two + 99 * one), 0.99)
    assert within_one_interval(np.array(two + 101 * one), 0.99)
    assert not within_one_interval(np.array(2 * two + 101 * one), 0.99)
    assert within_one_interval(np.array(2 * two + 101 * one), 0.98)


def driven(latencies_ms: Sequence[float]) -> tuple[FixedIntervalLoad, list[Sequence[int]]]:
    clock = FakeClock(now_ns=7)
    seen: list[Sequence[int]] = []

    def respond(query: Sequence[int]) -> None:
        clock.advance(latencies_ms[len(seen)] / 1e3)
        seen.append(query)

    queries = [[number, number + 1] for number in range(len(latencies_ms))]
    return run_fixed_interval(respond, queries, EVERY_50_MS, clock), seen


def test_a_system_that_keeps_up() -> None:
    load, seen = driven([10, 20, 50])
    assert seen == [[0, 1], [1, 2], [2, 3]]
    assert load.ticks.tolist() == [1, 2, 3]
    assert load.issued_ns.tolist() == [50 * MS, 100 * MS, 150 * MS]
    assert load.completed_ns.tolist() == [60 * MS, 120 * MS, 200 * MS]
    assert load.latency_ns.tolist() == [10 * MS, 20 * MS, 50 * MS]
    assert load.met


def test_a_system_that_does_not() -> None:
    load, _ = driven([10, 60, 20])
    assert load.ticks.tolist() == [1, 2, 4]
    assert not load.met


@given(st.lists(st.integers(0, 300), min_size=1, max_size=30))
def test_the_driver_follows_the_rule(latencies_ms: list[int]) -> None:
    load, _ = driven(latencies_ms)
    assert load.ticks.tolist() == ticks_of(EVERY_50_MS, load.latency_ns.tolist()).tolist()


@given(st.integers(0, 300))
def test_the_search_finds_the_capacity(capacity: int) -> None:
    tried: list[int] = []

    def met(streams: int) -> bool:
        tried.append(streams)
        return streams <= capacity

    assert most_streams(met) == capacity
    assert len(tried) == len(set(tried)) <= 20


def test_streams_of_a_linear_system() -> None:
    """A system of 7 ms a sample does 7 samples, 49 ms, in an interval of 50 ms."""

    def met(streams: int) -> bool:
        clock = FakeClock()
        queries = [list(range(streams))] * 100
        load = run_fixed_interval(
            lambda query: clock.advance(0.007 * len(query)), queries, EVERY_50_MS, clock
        )
        return load.met

    assert most_streams(met) == 7


@pytest.mark.parametrize(
    "bad", [{"qps": 0}, {"qps": 20, "max_async": 0}, {"qps": 20, "percentile": 99}]
)
def test_settings_out_of_range(bad: dict[str, float]) -> None:
    with pytest.raises(UserError) as error:
        FixedInterval(**bad)  # type: ignore[arg-type]
    assert "needs qps > 0, max_async >= 1 and 0 < percentile < 1" in str(error.value)
