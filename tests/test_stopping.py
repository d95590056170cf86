"""Stop when certain: errors and power of the sequential tests."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta

from pytest_aibench.bounds import Verdict
from pytest_aibench.loadgen.early_stopping import is_met
from pytest_aibench.loadgen.percentiles import percentile_estimate
from pytest_aibench.loadgen.stopping import Decision, PercentileTest, ThroughputTest
from pytest_aibench.loadgen.throughput import Completions, throughput_estimate

BUDGET = 100_000
OFFICIAL_QUERIES = 270_336
PERCENTILES = (0.5, 0.9, 0.97, 0.99)
LOOKS = np.array([*range(1, 1000), *range(1000, BUDGET + 1, 50)])


@lru_cache
def decision_limits(percentile: float) -> tuple[list[int], list[int]]:
    """For each look, how many overs are few enough to pass, and how many enough to fail."""
    test = PercentileTest(percentile)
    pass_below, fail_from = [], []
    for n in LOOKS.tolist():
        overs = range(n + 1)
        pass_below.append(bisect_left(overs, True, key=lambda k: not_passed(test, n, k)))
        fail_from.append(bisect_left(overs, True, key=lambda k: failed(test, n, k)))
    return pass_below, fail_from


def not_passed(test: PercentileTest, n: int, over: int) -> bool:
    return test.decide(n, over) is not Verdict.PASSED


def failed(test: PercentileTest, n: int, over: int) -> bool:
    return test.decide(n, over) is Verdict.FAILED


def simulate(
    percentile: float, over_share: float, runs: int
) -> tuple[float, float, npt.NDArray[np.int64]]:
    """Shares of runs that passed and failed, and the queries each run took."""
    rng = np.random.default_rng(20200101)
    over, took = np.zeros(runs, np.int64), np.full(runs, BUDGET)
    live, passed = np.arange(runs), 0
    for step, n, low, high in zip(
        np.diff(LOOKS, prepend=0), LOOKS, *decision_limits(percentile), strict=True
    ):
        over += rng.binomial(step, over_share, len(over))
        passes, decided = over < low, (over < low) | (over >= high)
        passed += int(passes.sum())
        took[live[decided]] = n
        live, over = live[~decided], over[~decided]
    return passed / runs, (runs - len(live) - passed) / runs, took


def test_wrong_decisions_are_rare_when_the_percentile_is_at_the_bound() -> None:
    passed, failed_share, _ = simulate(0.99, 0.01, runs=10_000)
    assert 0 < passed <= 0.01
    assert 0 < failed_share <= 0.01


# Exponential latencies: the chance of exceeding the bound is 0.01 ** (bound / true p99).
@pytest.mark.parametrize(
    ("p99_by_bound", "verdict"), [(0.8, Verdict.PASSED), (1.2, Verdict.FAILED)]
)
def test_twenty_percent_off_is_decided_in_a_twentieth_of_the_queries(
    p99_by_bound: float, verdict: Verdict
) -> None:
    passed, failed_share, took = simulate(0.99, 0.01 ** (1 / p99_by_bound), runs=500)
    right = passed if verdict is Verdict.PASSED else failed_share
    assert right >= 0.99
    assert np.median(took) <= OFFICIAL_QUERIES / 20
    assert np.median(took) <= 1600


@pytest.mark.parametrize(("percentile", "first"), [(0.5, 9), (0.9, 59), (0.99, 608), (0.999, 6106)])
def test_first_pass_without_any_query_over(percentile: float, first: int) -> None:
    test = PercentileTest(percentile)
    assert test.decide(first - 1, 0) is None
    assert test.decide(first, 0) is Verdict.PASSED


def test_a_hopeless_system_fails_at_once() -> None:
    assert PercentileTest(0.99).decide(5, 5) is Verdict.FAILED
    assert PercentileTest(0.99).decide(0, 0) is None


@settings(max_examples=40)
@given(st.integers(1, 300), st.floats(0, 1), st.sampled_from((0.5, 0.9)))
def test_evidence_against_numerical_integration(n: int, where: float, percentile: float) -> None:
    over, share = int(where * n), 1 - percentile
    prior = beta(1, percentile / share)

    def mixed(low: float, high: float) -> float:
        ratio = quad(
            lambda x: prior.pdf(x) * (x / share) ** over * ((1 - x) / percentile) ** (n - over),
            low,
            high,
            limit=200,
            points=[low + (high - low) * f for f in (0.05, 0.2, 0.5)],
        )[0]
        return float(ratio / (prior.cdf(high) - prior.cdf(low)))

    evidence = {Verdict.PASSED: mixed(0, share), Verdict.FAILED: mixed(share, 1)}
    clear = {verdict: value for verdict, value in evidence.items() if abs(value - 100) > 1e-3}
    decided = PercentileTest(percentile).decide(n, over)
    assert len(clear) < 2 or decided == next((v for v in clear if clear[v] > 100), None)


@given(st.integers(1, 5000), st.integers(0, 2**32), st.sampled_from(PERCENTILES), st.floats(0, 1))
def test_interval_decides_like_the_test(n: int, seed: int, percentile: float, where: float) -> None:
    latencies = np.sort(np.random.default_rng(seed).exponential(size=n))
    bound = latencies[int(where * (n - 1))]
    decided = PercentileTest(percentile).decide(n, int((latencies > bound).sum()))
    estimate = PercentileTest(percentile).estimate(latencies)
    assert (decided is Verdict.PASSED) == (estimate.high is not None and estimate.high <= bound)
    assert (decided is Verdict.FAILED) == (estimate.low is not None and estimate.low > bound)


@given(st.integers(1, 50_000), st.floats(0, 1), st.sampled_from(PERCENTILES))
def test_certain_at_every_look_is_certain_at_one(n: int, where: float, percentile: float) -> None:
    over = int(where * 2 * (1 - percentile) * n)
    decided = PercentileTest(percentile).decide(n, over)
    if decided is Verdict.PASSED:
        assert is_met(n, over, percentile)
    if decided is Verdict.FAILED:
        assert is_met(n, n - over, 1 - percentile)


def test_interval_is_wider_than_that_of_one_look() -> None:
    latencies = np.sort(np.random.default_rng(0).exponential(size=20_000))
    every, one = PercentileTest(0.99).estimate(latencies), percentile_estimate(latencies, 0.99)
    assert every.low is not None
    assert every.high is not None
    assert one.low is not None
    assert one.high is not None
    assert every.low < one.low < one.high < every.high
    assert every.value == one.value


def test_open_interval_says_how_many_are_missing() -> None:
    estimate = PercentileTest(0.99).estimate(np.linspace(0.001, 0.1, 100))
    assert (estimate.high, estimate.why_open) == (None, "p99 needs 608 queries, 508 more")


@pytest.mark.parametrize(
    ("calls", "look"), [(0, 0), (99, 0), (100, 1), (199, 1), (200, 2), (399, 2), (400, 3)]
)
def test_throughput_looks_double(calls: int, look: int) -> None:
    assert ThroughputTest(1.0).look(calls) == look


def throughput_decisions(rate: float, runs: int, looks: int) -> list[Verdict | None]:
    """Decisions on "at least 1 sample/s" when exponential service has a true rate."""
    rng = np.random.default_rng(77)
    test, calls = ThroughputTest(1.0), 100 * 2 ** (looks - 1)
    decisions = []
    for _ in range(runs):
        stamps = np.cumsum(rng.exponential(1e9 / rate, size=calls)).astype(np.int64)
        ones = np.ones(calls, np.int64)
        decisions.append(first_decision(test, stamps, ones, looks))
    return decisions


def first_decision(
    test: ThroughputTest, stamps: npt.NDArray[np.int64], ones: npt.NDArray[np.int64], looks: int
) -> Verdict | None:
    for look in range(1, looks + 1):
        calls = 100 * 2 ** (look - 1)
        decision = test.decide(look, Completions(0, stamps[:calls], ones[:calls]))
        if decision is not None:
            return decision
    return None


def test_wrong_throughput_decisions_are_rare_at_the_bound() -> None:
    decisions = throughput_decisions(rate=1.0, runs=2000, looks=7)
    assert 0 < decisions.count(Verdict.PASSED) <= 20
    assert 0 < decisions.count(Verdict.FAILED) <= 20


@pytest.mark.parametrize(("rate", "verdict"), [(1.2, Verdict.PASSED), (0.8, Verdict.FAILED)])
def test_a_clear_throughput_is_decided(rate: float, verdict: Verdict) -> None:
    assert throughput_decisions(rate, runs=50, looks=6).count(verdict) == 50


def test_later_looks_spend_less_of_the_error() -> None:
    rng = np.random.default_rng(5)
    load = Completions(0, np.cumsum(rng.integers(1, 9, size=400)), np.ones(400, np.int64))
    for look, spent in [(1, 0.01 / 6), (2, 0.01 / 12), (3, 0.01 / 20)]:
        assert ThroughputTest(1.0).estimate(look, load) == throughput_estimate(load, 1 - spent)


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (Verdict.PASSED, "p99 ≤ 100 ms certain after 1024 queries"),
        (Verdict.FAILED, "p99 ≤ 100 ms certainly missed after 1024 queries"),
        (Verdict.INCONCLUSIVE, "p99 ≤ 100 ms undecided after 1024 queries"),
    ],
)
def test_decision_text(verdict: Verdict, text: str) -> None:
    assert str(Decision("p99 ≤ 100 ms", verdict, 1024)) == text
