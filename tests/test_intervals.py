"""Intervals of shares and means against published values and simulation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import jackknife_interval, mean_interval, wilson


# Newcombe, Statistics in Medicine 17, 1998, table I, method 3 (score, no continuity correction).
@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_against_published_values(correct: int, n: int, low: float, high: float) -> None:
    assert wilson(correct, n, 0.95) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from((0.9, 0.95, 0.98, 0.99)))
def test_wilson_inverts_the_score_test(n: int, where: float, confidence: float) -> None:
    from scipy.stats import norm

    correct = round(where * n)
    low, high = wilson(correct, n, confidence)
    assert 0 <= low <= correct / n <= high <= 1
    for end in {low, high} - {0.0, 1.0}:
        score = abs(correct / n - end) / np.sqrt(end * (1 - end) / n)
        assert 2 * norm.sf(score) == pytest.approx(1 - confidence, rel=1e-6)


def test_wilson_needs_a_sample() -> None:
    with pytest.raises(UserError, match="a share of no samples has no interval: give at least 1"):
        wilson(0, 0)


def test_mean_interval_close_to_students_t_in_large_samples() -> None:
    scores = np.random.default_rng(8).normal(0.7, 0.1, size=2000)
    half_width = 1.96 * scores.std(ddof=1) / np.sqrt(2000)
    low, high = mean_interval(scores)
    assert low == pytest.approx(scores.mean() - half_width, abs=0.1 * half_width)
    assert high == pytest.approx(scores.mean() + half_width, abs=0.1 * half_width)


def test_mean_interval_stays_within_the_scores() -> None:
    assert mean_interval(np.full(10, 0.25)) == (0.25, 0.25)
    low, high = mean_interval(np.array([0.0, 1.0, 1.0]))
    assert 0 <= low < high <= 1


def test_mean_interval_repeats_itself() -> None:
    scores = np.random.default_rng(8).random(30)
    assert mean_interval(scores) == mean_interval(scores)
    assert mean_interval(scores) != mean_interval(scores, seed=1)


def test_mean_interval_needs_two_scores() -> None:
    with pytest.raises(UserError, match="a mean of 1 scores has no interval: give at least 2"):
        mean_interval(np.array([0.5]))


def test_mean_interval_coverage_in_simulation() -> None:
    rng = np.random.default_rng(21)
    intervals = [mean_interval(rng.beta(8, 2, size=15)) for _ in range(100)]
    covered = np.mean([low <= 0.8 <= high for low, high in intervals])
    assert 0.9 <= covered <= 0.99


def ratio(rows: npt.NDArray[np.float64]) -> float:
    return float(rows[:, 0].sum() / rows[:, 1].sum())


def mean(rows: npt.NDArray[np.float64]) -> float:
    return float(rows.mean())


@pytest.mark.parametrize("n", [2, 15, 200])
def test_jackknife_of_a_mean_is_students_interval(n: int) -> None:
    from scipy.stats import t

    scores = np.random.default_rng(4).normal(size=n)
    expected = t.interval(0.95, n - 1, scores.mean(), scores.std(ddof=1) / np.sqrt(n))
    assert jackknife_interval(scores, mean) == pytest.approx(tuple(expected))


def test_jackknife_leaves_out_groups_where_there_are_many_rows() -> None:
    calls = []

    def counted(rows: npt.NDArray[np.float64]) -> float:
        calls.append(len(rows))
        return mean(rows)

    scores = np.random.default_rng(5).normal(size=1000)
    low, high = jackknife_interval(scores, counted)
    assert calls == [995] * 200 + [1000]
    assert high - low == pytest.approx(2 * 1.96 * scores.std() / np.sqrt(1000), rel=0.1)


def test_jackknife_coverage_of_a_ratio_in_simulation() -> None:
    rng = np.random.default_rng(22)
    covered = []
    for _ in range(300):
        words = rng.integers(1, 20, size=40)
        low, high = jackknife_interval(np.column_stack((rng.binomial(words, 0.2), words)), ratio)
        covered.append(low <= 0.2 <= high)
    assert 0.91 <= np.mean(covered) <= 0.98


def test_jackknife_needs_two_rows() -> None:
    with pytest.raises(UserError, match="a figure of 1 samples has no interval: give at least 2"):
        jackknife_interval(np.array([0.5]), mean)
