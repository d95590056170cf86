"""Throughput: batch means and their coverage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import t

from pytest_aibench.bounds import Estimate, Verdict, at_least, judge
from pytest_aibench.loadgen.throughput import Completions, throughput_estimate

NOMINAL = 0.98
Seconds = npt.NDArray[np.float64]
Service = Callable[[np.random.Generator, int, int], Seconds]


def completions(service_s: Seconds, samples: int = 1, start_ns: int = 5_000) -> Completions:
    completed_ns = start_ns + np.cumsum(np.round(service_s * 1e9)).astype(np.int64)
    return Completions(start_ns, completed_ns, np.full(len(service_s), samples))


def test_value_is_samples_over_elapsed_time() -> None:
    estimate = throughput_estimate(completions(np.full(200, 0.01), samples=8))
    assert estimate.value == pytest.approx(800)
    assert estimate.low == pytest.approx(800)
    assert estimate.high == pytest.approx(800)
    assert (estimate.unit, estimate.n, estimate.why_open) == ("samples/s", 200, "")


def test_interval_against_the_textbook() -> None:
    service = np.random.default_rng(4).uniform(0.5, 1.5, size=100)
    batch_means = service.reshape(10, 10).mean(axis=1)
    error = batch_means.std(ddof=1) / np.sqrt(10) / batch_means.mean()
    factor = np.exp(2.821438 * error)  # t quantile, 9 degrees of freedom
    estimate = throughput_estimate(completions(service))
    assert estimate.low == pytest.approx(1 / service.mean() / factor, rel=1e-6)
    assert estimate.high == pytest.approx(1 / service.mean() * factor, rel=1e-6)


@pytest.mark.parametrize(("calls", "freedom"), [(100, 9), (199, 18), (300, 29), (5000, 29)])
def test_batches_of_ten_calls_up_to_thirty(calls: int, freedom: int) -> None:
    load = completions(np.random.default_rng(4).uniform(0.5, 1.5, size=calls))
    one, other = throughput_estimate(load, 0.99), throughput_estimate(load, 0.75)
    assert one.value
    assert one.high
    assert other.high
    ratio = np.log(one.high / one.value) / np.log(other.high / one.value)
    assert ratio == pytest.approx(t.ppf(0.99, freedom) / t.ppf(0.75, freedom), rel=1e-9)


def test_a_higher_confidence_is_wider() -> None:
    load = completions(np.random.default_rng(4).exponential(size=400))
    usual, strict = throughput_estimate(load), throughput_estimate(load, 0.999)
    assert usual.low is not None
    assert usual.high is not None
    assert strict.low is not None
    assert strict.high is not None
    assert strict.low < usual.low < usual.high < strict.high


def test_queries_of_unequal_work_at_a_steady_rate() -> None:
    samples = np.random.default_rng(3).integers(1, 100, size=300)
    load = Completions(0, np.cumsum(samples) * 1_000_000, samples)
    estimate = throughput_estimate(load)
    assert estimate.low == pytest.approx(1000)
    assert estimate.high == pytest.approx(1000)


def test_too_few_completion_calls_leave_the_interval_open() -> None:
    estimate = throughput_estimate(completions(np.full(64, 0.5)))
    why_open = "throughput needs 100 completion calls, 36 more"
    assert estimate == Estimate(value=2.0, unit="samples/s", n=64, why_open=why_open)
    check = judge("throughput", estimate, at_least("1 samples/s"))
    assert (check.verdict, check.reason) == (Verdict.INCONCLUSIVE, why_open)


@pytest.mark.parametrize("service", [np.array([]), np.zeros(3)])
def test_nothing_completed_is_not_measured(service: Seconds) -> None:
    expected = Estimate(value=None, unit="samples/s", why_open="no sample completed")
    assert throughput_estimate(completions(service)) == expected


def exponential(rng: np.random.Generator, runs: int, calls: int) -> Seconds:
    return rng.exponential(size=(runs, calls))


def normal(rng: np.random.Generator, runs: int, calls: int) -> Seconds:
    return 1 + 0.1 * rng.standard_normal((runs, calls))


def autocorrelated(rng: np.random.Generator, runs: int, calls: int) -> Seconds:
    """AR(1) with coefficient 0.3 around 1 s."""
    noise = rng.standard_normal((runs, calls))
    noise[:, 0] /= np.sqrt(1 - 0.3**2)
    for call in range(1, calls):
        noise[:, call] += 0.3 * noise[:, call - 1]
    return 1 + 0.1 * noise


@pytest.mark.parametrize("calls", [100, 1000])
@pytest.mark.parametrize("service", [exponential, normal, autocorrelated])
def test_coverage_in_simulation(service: Service, calls: int) -> None:
    runs = 3000
    times = service(np.random.default_rng(11), runs, calls)
    estimates = [throughput_estimate(completions(run)) for run in times]
    passed = sum(estimate.low > 1 for estimate in estimates if estimate.low)
    missed = sum(estimate.high < 1 for estimate in estimates if estimate.high)
    assert 1 - (passed + missed) / runs >= NOMINAL - 0.01
    assert max(passed, missed) / runs <= 0.02
