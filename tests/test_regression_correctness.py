"""Paired quality against scipy, brute force and the published power of McNemar's test."""

from __future__ import annotations

import base64
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from pytest_aibench.errors import UserError
from pytest_aibench.regression.comparison import Change, Comparison
from pytest_aibench.regression.correctness import (
    compare_correctness,
    compare_scores,
    correct_bits,
    sample_scores,
)

Bits = npt.NDArray[np.bool_]


def sides(same: int, broken: int, mended: int, wrong: int = 0) -> tuple[Bits, Bits]:
    """Answers before and after, by what became of them."""
    before = [True] * same + [True] * broken + [False] * mended + [False] * wrong
    after = [True] * same + [False] * broken + [True] * mended + [False] * wrong
    return np.array(before), np.array(after)


def compared(before: Bits, after: Bits, floor: float | None = None) -> Comparison:
    return compare_correctness("digits", "top1", before, after, floor=floor)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_bits_as_the_record_keeps_them(correct: list[bool]) -> None:
    text = base64.b64encode(np.packbits(correct).tobytes()).decode()
    assert correct_bits(text, len(correct)).tolist() == correct


@pytest.mark.parametrize("text", ["", "AAA", "AAAA", "?"])
def test_bits_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UserError) as error:
        correct_bits(text, 9)
    assert str(error.value) == "the correctness of 9 samples cannot be read: record it again"


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40))
def test_scores_as_the_record_keeps_them(scores: list[float]) -> None:
    text = base64.b64encode(np.array(scores, "<f4").tobytes()).decode()
    assert sample_scores(text, len(scores)).tolist() == scores


@pytest.mark.parametrize("text", ["", "AAA", "AAAA", "?", "A" * 52])  # the last: 39 bytes
def test_scores_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UserError) as error:
        sample_scores(text, 9)
    assert str(error.value) == "the scores of 9 samples cannot be read: record them again"


@given(st.integers(0, 30), st.integers(0, 30))
def test_against_scipys_binomial_test(broken: int, mended: int) -> None:
    expected = 1.0
    if broken + mended:
        expected = binomtest(broken, broken + mended, 0.5, alternative="greater").pvalue
    assert compared(*sides(100, broken, mended)).p == pytest.approx(expected)


def test_a_clear_drop() -> None:
    row = compared(*sides(900, 60, 20, 20))
    assert row.change is Change.REGRESSED
    assert row.effect == pytest.approx(-0.04)
    assert row.reason == "60 of 1000 answers broken, 20 mended, p = 4e-06"
    se = (80 - 40**2 / 1000) ** 0.5 / 1000
    assert (row.low, row.high) == pytest.approx(
        (-0.04 - 2.3263 * se, -0.04 + 2.3263 * se), abs=1e-6
    )
    assert row.detectable == pytest.approx((2.3263 + 0.8416) * se, abs=1e-6)


def test_swapped_sides_are_an_improvement() -> None:
    before, after = sides(900, 60, 20, 20)
    row = compared(after, before)
    assert row.change is Change.IMPROVED
    assert row.effect == pytest.approx(0.04)


def test_a_drop_below_the_floor_is_no_alarm_however_certain() -> None:
    assert compared(*sides(900, 60, 20, 20), floor=0.05).change is not Change.REGRESSED


def test_a_few_changed_answers_decide_nothing() -> None:
    row = compared(*sides(350, 3, 0, 7))
    assert row.change is Change.INCONCLUSIVE
    assert row.reason == "3 of 360 answers broken, 0 mended, p = 0.1"


def test_a_drop_is_excluded_when_few_answers_changed() -> None:
    assert compared(*sides(49_990, 5, 5)).change is Change.NOT_WORSE


def test_the_same_answers() -> None:
    row = compared(*sides(90, 0, 0, 10))
    assert (row.change, row.p, row.effect) == (Change.NOT_WORSE, 1.0, 0.0)
    assert row.reason == "the same on every sample"


@pytest.mark.parametrize(("before", "after"), [(3, 4), (0, 0)])
def test_other_samples(before: int, after: int) -> None:
    with pytest.raises(UserError) as error:
        compared(np.ones(before, np.bool_), np.ones(after, np.bool_))
    assert str(error.value) == (
        f"digits: {before} samples before and {after} now: compare runs over the same samples"
    )


def test_published_power() -> None:
    """5,000 samples, a drop of half a point with 2 % of answers changed: 0.78, unpaired 0."""
    rng = np.random.default_rng(6)
    chances = [0.01 + 0.0025, 0.01 - 0.0025, 0.98]
    draws = rng.multinomial(5000, chances, size=400)
    p = [compared(*sides(5000 - b - m, b, m)).p for b, m, _ in draws]
    assert np.mean(np.array(p, float) <= 0.05) == pytest.approx(0.78, abs=0.06)


@settings(max_examples=20)
@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=2, max_size=7))
def test_scores_against_all_sign_flips(differences: list[float]) -> None:
    d = np.array(differences)
    row = compare_scores("qa", "f1", "lower", np.zeros(len(d)), d)
    flips = [float(np.dot(s, d)) for s in product((1, -1), repeat=len(d))]
    expected = np.mean([flip >= d.sum() - 1e-9 for flip in flips])
    assert row.p == pytest.approx(expected, abs=0.05)  # by random flips


@pytest.mark.parametrize(
    ("better", "change"), [("lower", Change.REGRESSED), ("higher", Change.IMPROVED)]
)
def test_scores_that_rise(better: str, change: Change) -> None:
    rng = np.random.default_rng(7)
    before = rng.random(500)
    row = compare_scores("qa", "f1", better, before, before + rng.normal(0.02, 0.05, 500))
    assert row.change is change
    assert row.effect == pytest.approx(0.02, abs=0.01)
    assert row.reason.startswith("500 of 500 scores changed, p = ")


def test_the_same_scores() -> None:
    scores = np.linspace(0, 1, 9)
    row = compare_scores("qa", "f1", "higher", scores, scores)
    assert (row.change, row.p, row.reason) == (Change.NOT_WORSE, 1.0, "the same on every sample")


def test_scores_that_are_no_numbers() -> None:
    with pytest.raises(UserError) as error:
        compare_scores("qa", "f1", "higher", np.ones(3), np.array([1, np.nan, 1]))
    assert str(error.value) == "qa: a score is not a number: an invalid run cannot be compared"
