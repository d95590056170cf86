"""The logistic fit of a crossing: exact curves, jumps, noise, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_aibench.loadgen.crossing import fit_crossing

LOADS = [90.0, 95.0, 105.0, 110.0]


def shares(loads: list[float], slope: float, level: float = 0.1) -> list[float]:
    odds = level / (1 - level)
    return [1 - 1 / (1 + odds * (load / 100) ** slope) for load in loads]


def test_an_exact_logistic_curve_is_recovered() -> None:
    hits = [round(1_000_000 * share) for share in shares(LOADS, 12)]
    crossing = fit_crossing(LOADS, hits, [1_000_000] * 4, 0.1, 0.95)
    assert crossing.load == pytest.approx(100, rel=1e-4)
    assert crossing.slope == pytest.approx(12, rel=1e-3)
    assert crossing.low < 100 < crossing.high < 101


def test_all_below_missing_and_all_above_hitting_is_finite() -> None:
    crossing = fit_crossing(LOADS, [0, 0, 1000, 1000], [1000] * 4, 0.1, 0.95)
    assert 95 < crossing.load < 105
    assert crossing.slope > 100


@pytest.mark.parametrize("hits", [[100, 100, 100, 100], [200, 150, 100, 50], [0, 0, 0, 0]])
def test_no_certain_rise_leaves_the_interval_open(hits: list[int]) -> None:
    crossing = fit_crossing(LOADS, hits, [1000] * 4, 0.1, 0.95)
    assert (crossing.low, crossing.high) == (0, math.inf)
    assert 90 <= crossing.load <= 110


def test_the_spread_of_whole_replications_sets_the_interval() -> None:
    loads = [load for load in LOADS for _ in range(4)]
    even = [round(10_000 * share) for share in shares(loads, 12)]
    uneven = [hits * (2 if place % 2 else 1) // 2 for place, hits in enumerate(even)]
    narrow = fit_crossing(loads, even, [10_000] * 16, 0.1, 0.95)
    wide = fit_crossing(loads, uneven, [10_000] * 16, 0.1, 0.95)
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)


def test_the_interval_covers_as_stated_where_replications_are_overdispersed() -> None:
    rng = np.random.default_rng(7)
    loads = [load for load in LOADS for _ in range(6)]
    means = np.array(shares(loads, 15))
    covered = 0
    for _ in range(500):
        hits = rng.binomial(2000, rng.beta(20 * means, 20 * (1 - means)))
        crossing = fit_crossing(loads, hits.tolist(), [2000] * 24, 0.1, 0.95)
        covered += crossing.low <= 100 <= crossing.high
    assert 0.92 * 500 <= covered <= 0.98 * 500


@pytest.mark.parametrize(
    ("concentrations", "least"), [([2, 2000, 2000, 2000], 0.9), ([2000, 2, 2, 2000], 0.95)]
)
def test_the_interval_knows_that_replications_spread_more_at_some_loads(
    concentrations: list[float], least: float
) -> None:
    """With one dispersion for all, an interval of 95 % covers in 36 % and 90 % of these."""
    rng = np.random.default_rng(7)
    loads = [load for load in LOADS for _ in range(4)]
    means, own = np.array(shares(loads, 15)), np.repeat(concentrations, 4)
    covered = 0
    for _ in range(200):
        hits = rng.binomial(2000, rng.beta(own * means, own * (1 - means)))
        crossing = fit_crossing(loads, hits.tolist(), [2000] * 16, 0.1, 0.95)
        covered += crossing.low <= 100 <= crossing.high
    assert covered >= least * 200
