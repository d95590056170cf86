"""Latency percentiles: LoadGen's index, and intervals by order statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from pytest_aibench.bounds import Estimate, Verdict, at_most, judge
from pytest_aibench.loadgen.early_stopping import is_met, min_queries
from pytest_aibench.loadgen.percentiles import (
    figure_percentile,
    interval_ranks,
    percentile_estimate,
    percentile_figure,
    percentile_index,
    queries_needed,
)

PERCENTILES = (0.1, 0.5, 0.9, 0.95, 0.97, 0.99, 0.999)
NOMINAL = 0.98


@pytest.mark.parametrize(
    ("n", "percentile", "index"),
    [
        (100, 0.99, 99),
        (1000, 0.99, 990),
        (1000, 0.999, 999),
        (10, 0.9, 9),
        (1, 0.5, 0),
        (7, 0.5, 3),
        (100, 0.29, 28),  # the product of the doubles is below 29
        (10, 0.9999999999999999, 9),  # the product rounds up to n
    ],
)
def test_index_is_the_truncated_product(n: int, percentile: float, index: int) -> None:
    assert percentile_index(n, percentile) == index


@pytest.mark.parametrize(
    ("name", "percentile"), [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)]
)
def test_names_of_percentiles(name: str, percentile: float) -> None:
    assert figure_percentile(name) == percentile
    assert percentile_figure(percentile) == name


@pytest.mark.parametrize("name", ["p9", "top1", "99", "xp99", "p99_ms"])
def test_other_figures_are_no_percentiles(name: str) -> None:
    assert figure_percentile(name) is None


@pytest.mark.parametrize(
    ("percentile", "needed"), [(0.5, 7), (0.9, 44), (0.99, 459), (0.999, 4603), (0.1, 44)]
)
def test_both_ends_exist_from_the_needed_number_on(percentile: float, needed: int) -> None:
    assert queries_needed(percentile) == needed
    assert all(interval_ranks(needed, percentile))
    assert not all(interval_ranks(needed - 1, percentile))


def test_open_interval_says_how_many_are_missing() -> None:
    estimate = percentile_estimate(np.linspace(0.001, 0.1, 100), 0.99)
    assert estimate.value == pytest.approx(0.1)
    assert estimate.high is None
    assert estimate.why_open == "p99 needs 459 queries, 359 more"


def test_nothing_completed_is_not_measured() -> None:
    estimate = percentile_estimate(np.array([]), 0.99)
    assert estimate == Estimate(value=None, unit="s", why_open="no query completed")


def test_interval_reads_order_statistics() -> None:
    estimate = percentile_estimate(np.arange(1000, dtype=np.float64), 0.99)
    # P[Binomial(1000, 0.01) <= 2] = 0.0027, <= 3 is 0.0101; >= 19 is 0.0072, >= 18 is 0.0142.
    assert (estimate.low, estimate.value, estimate.high) == (981.0, 990.0, 997.0)
    assert (estimate.n, estimate.unit, estimate.why_open) == (1000, "s", "")


def sorted_latencies(seed: int, n: int, ties: bool) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    latencies = np.random.default_rng(seed).exponential(size=n)
    return np.sort(np.round(latencies, 1) if ties else latencies)


@given(
    st.integers(1, 3000),
    st.sampled_from(PERCENTILES),
    st.integers(0, 2**32),
    st.booleans(),
    st.floats(0, 1),
)
def test_upper_end_within_the_bound_is_early_stopping(
    n: int, percentile: float, seed: int, ties: bool, where: float
) -> None:
    latencies = sorted_latencies(seed, n, ties)
    bound = float(latencies[int(where * (n - 1))])
    over = int((latencies > bound).sum())
    high = percentile_estimate(latencies, percentile).high
    certain = high is not None and high <= bound
    assert certain is is_met(n, over, percentile)
    assert certain is (n >= min_queries(over, percentile))
    assert certain is bool(binom.cdf(over, n, 1 - percentile) < 0.01)


@given(
    st.integers(1, 3000),
    st.sampled_from(PERCENTILES),
    st.integers(0, 2**32),
    st.booleans(),
    st.floats(0, 1),
)
def test_lower_end_beyond_the_bound_refutes_it(
    n: int, percentile: float, seed: int, ties: bool, where: float
) -> None:
    latencies = sorted_latencies(seed, n, ties)
    bound = float(latencies[int(where * (n - 1))])
    over = int((latencies > bound).sum())
    low = percentile_estimate(latencies, percentile).low
    refuted = low is not None and low > bound
    assert refuted is bool(binom.sf(over - 1, n, 1 - percentile) < 0.01)


@given(st.integers(1, 3000), st.sampled_from(PERCENTILES), st.integers(0, 2**32))
def test_interval_holds_the_value(n: int, percentile: float, seed: int) -> None:
    estimate = percentile_estimate(sorted_latencies(seed, n, False), percentile)
    assert estimate.value is not None
    assert estimate.low is None or estimate.low <= estimate.value
    assert estimate.high is None or estimate.value <= estimate.high


def test_judging_the_interval_is_the_99_percent_test() -> None:
    latencies = np.concatenate([np.full(661, 0.01), [0.2]])
    bound = at_most("100 ms")
    assert judge("p99", percentile_estimate(latencies, 0.99), bound).verdict is Verdict.PASSED
    fewer = judge("p99", percentile_estimate(latencies[1:], 0.99), bound)
    assert (fewer.verdict, fewer.reason) == (
        Verdict.INCONCLUSIVE,
        "the interval straddles the bound",
    )


@pytest.mark.parametrize(
    ("n", "percentile"), [(1000, 0.9), (1000, 0.97), (1000, 0.99), (5000, 0.99), (6000, 0.999)]
)
def test_coverage_in_simulation(n: int, percentile: float) -> None:
    rng = np.random.default_rng(20240607)
    truth, runs = -np.log(1 - percentile), 2000
    covered = 0
    for _ in range(runs):
        estimate = percentile_estimate(np.sort(rng.exponential(size=n)), percentile)
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= truth <= estimate.high
    noise = 3 * np.sqrt(NOMINAL * (1 - NOMINAL) / runs)
    assert NOMINAL - noise <= covered / runs <= NOMINAL + 0.015


@pytest.mark.parametrize("percentile", [0.5, 0.9, 0.95, 0.97, 0.99])
def test_coverage_exactly(percentile: float) -> None:
    """For continuous latencies, the number at or below the percentile is binomial."""
    for n in [*range(1000, 3000, 37), *range(3000, 60_000, 1499)]:
        lower, upper = interval_ranks(n, percentile)
        coverage = binom.cdf(n - upper, n, percentile) - binom.cdf(lower - 1, n, percentile)
        assert NOMINAL <= coverage <= NOMINAL + 0.015
