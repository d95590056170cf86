"""The learnt spread against sums by hand, and the replay against the rate it should have."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.regression.spread import (
    Floats,
    as_rows,
    clipped,
    count,
    learn,
    moments,
    row_medians,
)

NONE = np.empty((1, 0))
values = st.lists(st.floats(-5, 5, width=32), max_size=12)


@given(st.lists(values, min_size=1, max_size=5))
def test_rows_against_numpy(series: list[list[float]]) -> None:
    rows = as_rows(series)
    n, mean, squares = moments(rows)
    medians = row_medians(rows)
    assert count(rows).tolist() == n.tolist() == list(map(len, series))
    for i, row in enumerate(series):
        if row:
            assert medians[i] == pytest.approx(np.median(row))
            assert mean[i] == pytest.approx(np.mean(row))
            assert squares[i] == pytest.approx(np.var(row) * len(row), abs=1e-9)
        else:
            assert math.isnan(medians[i])
            assert math.isnan(mean[i])


def test_an_outlier_is_drawn_in_to_ten_robust_deviations() -> None:
    rows = np.array([[0, 1, 2, 3, 4, 5, 6, 7, 1000.0]])  # median 4, median deviation 2
    assert clipped(rows)[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, pytest.approx(4 + 10 * 1.4826 * 2)]


def test_where_most_runs_are_equal_the_mean_deviation_clips() -> None:
    rows = np.array([[0.0] * 19 + [1.0]])
    assert clipped(rows)[0, -1] == pytest.approx(10 * 1.2533 / 20)


def test_fewer_than_eight_runs_are_not_clipped() -> None:
    rows = np.array([[0, 1, 2, 3, 4, 5, 1000.0]])
    assert (clipped(rows) == rows).all()


def test_spread_of_one_series_pools_baseline_and_history() -> None:
    baseline, history = np.array([[1.0, 2, 3]]), np.array([[10.0, 12, 14, 16]])
    spread = learn(baseline, history, 0.01)
    assert spread.mean[0] == 2
    assert spread.sd[0] == pytest.approx(math.sqrt((2 + 20) / (2 + 3)))
    assert spread.df[0] == 5
    assert spread.runs[0] == 7


def test_spread_is_moderated_by_the_median_of_five_series_and_more() -> None:
    scales = np.array([1.0, 2, 3, 4, 100])[:, None]
    baseline = scales * np.array([[-1.0, 0, 1]])  # each has its scale as standard deviation
    spread = learn(baseline, np.empty((5, 0)), 0.01)
    expected = np.sqrt((4 * 3.0**2 + 2 * scales[:, 0] ** 2) / (4 + 2))
    assert spread.sd == pytest.approx(expected)
    assert spread.df.tolist() == [6] * 5
    alone = learn(baseline[:4], np.empty((4, 0)), 0.01)
    assert alone.sd.tolist() == [1, 2, 3, 4]


def test_a_single_run_knows_nothing_alone_and_the_median_of_the_others_among_them() -> None:
    assert math.isnan(learn(np.array([[1.0]]), NONE, 0.01).sd[0])
    rows = as_rows([[1.0], *[[-1.0, 0, 1]] * 5])
    spread = learn(rows, np.empty((6, 0)), 0.01)
    assert (spread.sd[0], spread.df[0]) == (pytest.approx(1), 4)


def quiet(rng: np.random.Generator, n: int = 200, outliers: float = 0.0) -> Floats:
    scale = np.where(rng.random((n, 30)) < outliers, 6, 1)
    rows: Floats = scale * rng.standard_normal((n, 30))
    return rows


def widening(rows: Floats) -> float:
    """By what the spread exceeds that of the clipped rows, without moderation by others."""
    alone = [learn(row[None], NONE, 0.01).sd[0] for row in rows]
    n = 29.0
    prior = np.median(alone)
    plain = np.sqrt((4 * prior**2 + n * np.square(alone)) / (n + 4))
    return float(np.median(learn(rows, np.empty((len(rows), 0)), 0.01).sd / plain))


def test_normal_series_need_no_widening() -> None:
    assert widening(quiet(np.random.default_rng(1))) == pytest.approx(1)


def test_heavy_tails_widen_the_spread_until_the_false_alarms_are_as_few_as_they_should() -> None:
    rng = np.random.default_rng(2)
    rows = quiet(rng, 2000, 0.05)
    spread = learn(rows, np.empty((2000, 0)), 0.01)
    new = quiet(rng, 2000, 0.05)[:, 0]
    t = (new - spread.mean) / (spread.sd * math.sqrt(1 + 1 / 30))
    assert widening(rows) > 1.2
    assert np.mean(t > 2.45) == pytest.approx(0.01, abs=0.005)  # t at 0.99 with 33 degrees


def test_few_replays_prove_nothing() -> None:
    rows = quiet(np.random.default_rng(4), 4).cumsum(axis=1)
    alone = [learn(row[None], NONE, 0.01).sd[0] for row in rows]
    assert learn(rows, np.empty((4, 0)), 0.01).sd == pytest.approx(alone)
