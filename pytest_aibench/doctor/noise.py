"""The load generator's noise floor: what it adds when the model takes no time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_aibench.datasets.base import Dataset
from pytest_aibench.inference.punctuality import MOST_GENERATOR_LATENESS
from pytest_aibench.inference.runner import LoadGenerator
from pytest_aibench.loadgen.clock import Clock, MonotonicClock
from pytest_aibench.loadgen.effort import Effort
from pytest_aibench.loadgen.journal import Load, Stamps
from pytest_aibench.loadgen.percentiles import percentile_index
from pytest_aibench.scenarios import Scenario, Server, SingleStream

_SINGLE_STREAM_SHARE = 0.1
# Of the time; a low rate needs the most of it to see enough queries.
_RATE_SHARES = {100.0: 0.6, 1_000.0: 0.2, 10_000.0: 0.1}
_N_SAMPLES = 1024
_CLOCK_READINGS = 10_000
_CLOCK_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """Issued minus scheduled time, at one rate of the server scenario."""

    rate_qps: float
    n_queries: int
    p50_us: float
    p99_us: float
    max_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """What the load generator, its clock and this machine add to figures.

    Attributes:
        overhead_ns: Time per query of a single stream, all included.
        latency_p50_ns: The part of it that every latency contains, in the median.
        n_queries: Queries of that single stream.
        clock_resolution_ns: Smallest step seen between two readings; None when time stood still.
        clock_read_ns: Cost of one reading.
        lateness: At each rate, from low to high.
        smallest_latency_bound_ms: A server's tighter bound would make its runs invalid here,
            because the generator is too late for it.
    """

    overhead_ns: float
    latency_p50_ns: int
    n_queries: int
    clock_resolution_ns: int | None
    clock_read_ns: float
    lateness: tuple[Lateness, ...]
    smallest_latency_bound_ms: float


def measure(seconds: float, clock: Clock | None = None) -> NoiseFloor:
    """Load a null model as benchmarks load theirs, on one thread, for about ``seconds``."""
    clock = clock or MonotonicClock()
    resolution_ns, read_ns = _clock_figures(clock)
    stream = _load(SingleStream(min_queries=1), _SINGLE_STREAM_SHARE * seconds, clock)
    servers = {
        rate: _load(_server(rate), share * seconds, clock) for rate, share in _RATE_SHARES.items()
    }
    latest_ns = max(_percentile(load.generator_lateness_ns, 0.99) for load in servers.values())
    return NoiseFloor(
        overhead_ns=stream.duration_s * 1e9 / len(stream.sizes),
        latency_p50_ns=_percentile(stream.latency_ns, 0.50),
        n_queries=len(stream.sizes),
        clock_resolution_ns=resolution_ns,
        clock_read_ns=read_ns,
        lateness=tuple(_lateness(rate, load) for rate, load in servers.items()),
        smallest_latency_bound_ms=latest_ns / 1e6 / MOST_GENERATOR_LATENESS,
    )


def _clock_figures(clock: Clock) -> tuple[int | None, float]:
    """Smallest step in ns, and the cost of a reading in the least disturbed round."""
    now = clock.now
    rounds = np.array([[now() for _ in range(_CLOCK_READINGS)] for _ in range(_CLOCK_ROUNDS)])
    steps = np.diff(rounds)
    read_ns = float(steps.mean(axis=1).min())
    moved = steps[steps > 0]
    return (int(moved.min()) if len(moved) else None), read_ns


def _server(rate_qps: float) -> Server:
    return Server(target_qps=rate_qps, latency_bound="1 s", min_queries=1)


def _load(scenario: Scenario, seconds: float, clock: Clock) -> Load:
    generator = LoadGenerator(
        effort=Effort("doctor", min_duration_s=seconds, budget_s=seconds, sequential=False),
        settle=lambda result, outcome: None,
        memory={},
        clock=clock,
    )
    nothing = np.zeros(_N_SAMPLES)
    dataset = Dataset("nothing", "test", nothing, nothing, licence="", source="")
    return generator.run(_null_model, dataset, scenario).load


def _lateness(rate_qps: float, load: Load) -> Lateness:
    return Lateness(
        rate_qps=rate_qps,
        n_queries=len(load.sizes),
        p50_us=_percentile(load.lateness_ns, 0.50) / 1e3,
        p99_us=_percentile(load.lateness_ns, 0.99) / 1e3,
        max_us=_percentile(load.lateness_ns, 1.0) / 1e3,
    )


def _null_model(samples: Sequence[Any]) -> Sequence[Any]:
    return samples


def _percentile(values_ns: Stamps, percentile: float) -> int:
    return int(np.sort(values_ns)[percentile_index(len(values_ns), percentile)])
