"""Change points: exact small cases, properties, labelled series, false alarms."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.harness import change_point_accuracy as accuracy
from pytest_aibench.regression.change_points import ChangePoint, agreed, change_points
from pytest_aibench.regression.step_detectors import (
    Series,
    _most_different,
    best_partition,
    divisive_steps,
    memory,
    partition_steps,
    step_variance,
    weighted_steps,
    without_outliers,
)


def noisy(levels: list[float], runs: int, seed: int = 0, sd: float = 1.0) -> Series:
    rng = np.random.default_rng(seed)
    return np.repeat(levels, runs) + sd * rng.standard_normal(len(levels) * runs)


def places(values: Series) -> list[int]:
    return [change.index for change in change_points(values.tolist())]


def squared_error(series: Series, cuts: tuple[int, ...]) -> float:
    return sum(float(((piece - piece.mean()) ** 2).sum()) for piece in np.split(series, cuts))


def test_one_clean_step() -> None:
    assert change_points([10.0] * 20 + [12.0] * 20) == [
        ChangePoint(
            index=20,
            before=10.0,
            after=12.0,
            ratio=1.2,
            interval=(1.2, 1.2),
            worse=True,
            confirmed=True,
            votes=("e-divisive", "partition", "weighted t"),
        )
    ]


def test_ratio_and_its_interval_hold_the_truth() -> None:
    inside = 0
    for seed in range(200):
        (change,) = change_points((100 * np.exp(noisy([0.0, 0.1], 40, seed, sd=0.02))).tolist())
        assert change.ratio == change.after / change.before
        assert change.interval is not None
        inside += change.interval[0] <= math.exp(0.1) <= change.interval[1]
    assert 0.92 * 200 <= inside <= 0.99 * 200


@pytest.mark.parametrize(
    ("levels", "better", "worse"),
    [
        ([10, 12], "lower", True),
        ([12, 10], "lower", False),
        ([10, 12], "higher", False),
        ([12, 10], "higher", True),
    ],
)
def test_worse(levels: list[float], better: str, worse: bool) -> None:
    (change,) = change_points(np.repeat(levels, 20).tolist(), better=better)
    assert change.worse is worse


def test_series_not_above_zero_has_no_ratio() -> None:
    (change,) = change_points([-1.0] * 20 + [0.0] * 20, better="higher")
    assert (change.before, change.after, change.worse) == (-1.0, 0.0, False)
    assert (change.ratio, change.interval) == (None, None)


@pytest.mark.parametrize("after", [4, 5, 7, 8, 9])
def test_confirmed_by_eight_runs(after: int) -> None:
    values = np.concatenate([noisy([100], 40), noisy([115], after, seed=1)])
    (change,) = change_points(values.tolist())
    assert (change.index, change.confirmed) == (40, after >= 8)


def test_runs_without_a_value_keep_their_index() -> None:
    full: list[float | None] = noisy([100, 110], 30).tolist()
    gappy: list[float | None] = []
    for place, value in enumerate(full):
        gappy += [math.nan, value, None] if place % 7 == 0 else [value, math.inf]
    (expected,), (change,) = change_points(full), change_points(gappy)
    assert gappy[change.index] == full[expected.index]
    assert change.votes == expected.votes


def test_runs_that_were_not_measured_confirm_nothing() -> None:
    values = [*noisy([100], 30).tolist(), *noisy([115], 6).tolist(), *[None] * 10]
    (change,) = change_points(values)
    assert (change.index, change.confirmed) == (30, False)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [1.0],
        [1.0, 2.0, 3.0],
        [1.0] * 4 + [9.0] * 4,
        [None] * 50,
        [5.0] * 100,
        [0.0] * 100,
        [0.1 + 0.2, 0.3] * 20,
        [1e300, 1e-300] * 20,
    ],
)
def test_nothing_to_find(values: list[float | None]) -> None:
    assert change_points(values) == []


@pytest.mark.parametrize("outliers", [1, 2, 3])
@pytest.mark.parametrize("place", [0, 20, 40])
@pytest.mark.parametrize("factor", [0.1, 1.2, 30.0])
def test_up_to_three_outliers_are_no_level(outliers: int, place: int, factor: float) -> None:
    values = noisy([100], 43)
    values[place : place + outliers] *= factor
    assert places(values) == []


def test_a_change_is_found_between_outages() -> None:
    values = noisy([100, 104], 40)
    values[[3, 11, 25, 38, 47, 60, 61, 75]] *= 40
    (found,) = places(values)
    assert abs(found - 40) <= 2


def test_short_regression_and_its_fix() -> None:
    first, second = places(noisy([100, 110, 100], 8, seed=2))
    assert (abs(first - 8) <= 1, abs(second - 16) <= 1) == (True, True)


def test_whole_milliseconds() -> None:
    (found,) = places(np.rint(noisy([20, 22], 40, sd=0.4)))
    assert abs(found - 40) <= 2


@settings(max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([1e-6, 0.5, 3.0, 1e9]))
def test_unit_does_not_matter(seed: int, unit: float) -> None:
    values = noisy([100, 103, 100], 25, seed)
    assert places(values) == places(unit * values)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([-700.0, -200.0]))
def test_origin_does_not_matter_on_its_own_scale(seed: int, shift: float) -> None:
    values = noisy([0, 4, -2], 25, seed)
    assert places(values) == places(values + shift)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_turned_around_the_same_steps_are_found(seed: int) -> None:
    values = noisy([100, 108, 100], 30, seed)
    backwards = [len(values) - place for place in reversed(places(values[::-1]))]
    assert np.abs(np.subtract(places(values), backwards)).max() <= 2


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 120))
def test_stable_runs_added_remove_no_confirmed_change(seed: int, more: int) -> None:
    values = noisy([100, 106], 40, seed)
    longer = np.concatenate([values, noisy([106], more, seed + 5000)])
    before = [change.index for change in change_points(values.tolist()) if change.confirmed]
    assert len(before) == 1
    assert any(abs(place - before[0]) <= 2 for place in places(longer))


def test_last_200_runs_are_enough() -> None:
    values = noisy([100, 104, 98, 103, 100, 105, 101, 106], 60)
    recent = [place + 280 for place in places(values[280:])]
    assert recent == [place for place in places(values) if place > 280]
    assert len(recent) >= 3


def test_votes_need_two_and_count_once() -> None:
    opinions = {"a": [10, 40, 70], "b": [12, 14, 71], "c": [13, 55, 80]}
    assert agreed(opinions) == {10: ("a", "b", "c"), 70: ("a", "b")}


def test_votes_are_placed_by_the_first_who_sees_them() -> None:
    assert agreed({"a": [], "b": [30], "c": [25]}) == {30: ("b", "c")}
    assert agreed({"a": [], "b": [31], "c": [25]}) == {}


@settings(max_examples=40)
@given(
    st.lists(st.integers(-9, 9), min_size=10, max_size=21), st.sampled_from([0.5, 5.0, 40.0, 200.0])
)
def test_partition_is_the_best_of_all(values: list[int], penalty: float) -> None:
    series = np.array(values, dtype=float)
    allowed = [
        cuts
        for count in range(4)
        for cuts in combinations(range(5, len(series) - 4), count)
        if all(b - a >= 5 for a, b in pairwise(cuts))
    ]
    best = min(squared_error(series, cuts) + penalty * len(cuts) for cuts in allowed)
    found = tuple(best_partition(series, penalty))
    assert squared_error(series, found) + penalty * len(found) == pytest.approx(best)


def test_partition_is_that_of_ruptures() -> None:
    ruptures = pytest.importorskip("ruptures")
    for seed in range(5):
        series = noisy([0, 2, 1, 4, 4.5], 40, seed)
        search = ruptures.KernelCPD("linear", min_size=5).fit(series)
        assert best_partition(series, 12.0) == search.predict(pen=12.0)[:-1]


def energy_statistic(values: Series, cut: int, until: int) -> float:
    left, right = values[:cut], values[cut:until]
    n, m = len(left), len(right)
    across = np.abs(left[:, None] - right).mean()
    within = [
        np.abs(one[:, None] - one).sum() / (len(one) * (len(one) - 1)) for one in (left, right)
    ]
    return float(n * m / (n + m) * (2 * across - sum(within)))


def test_energy_statistic_is_the_largest() -> None:
    rng = np.random.default_rng(3)
    windows = rng.integers(0, 30, (6, 14)).astype(float)
    for row, (cut, until) in zip(windows, _most_different(windows), strict=True):
        every = [energy_statistic(row, c, u) for c in range(2, 13) for u in range(c + 2, 15)]
        assert energy_statistic(row, cut, until) == pytest.approx(max(every))


def test_each_detector_finds_a_large_step() -> None:
    series = noisy([0, 8], 40) / 12
    for detect in (divisive_steps, partition_steps, weighted_steps):
        assert min(abs(cut - 40) for cut in detect(series)) <= 1


@pytest.mark.parametrize(("share", "factor"), [(0.0, 1.0), (0.5, 6.0), (0.7, 19.0)])
def test_memory_of_the_noise(share: float, factor: float) -> None:
    rng = np.random.default_rng(1)
    noise = np.zeros(20_000)
    for place, shock in enumerate(rng.standard_normal(len(noise) - 1)):
        noise[place + 1] = share * noise[place] + shock
    true = (1 + share) / (1 - share) / (1 - share)
    assert true == pytest.approx(factor, rel=0.01)
    # Five lags see most of it, and of a longer memory half.
    assert 0.5 * true <= memory(noise) <= 1.05 * true


def test_spread_of_the_noise_survives_steps_ties_and_outages() -> None:
    assert math.sqrt(step_variance(noisy([0, 20, 5], 200))) == pytest.approx(1, rel=0.1)
    mostly_ties = np.rint(noisy([0], 600, sd=0.4))
    assert np.median(np.abs(np.diff(mostly_ties))) == 0
    assert 0.3 <= math.sqrt(step_variance(mostly_ties)) <= 0.8
    outages = noisy([0], 600)
    outages[::10] += 1000
    assert math.sqrt(step_variance(outages)) == pytest.approx(1.3, rel=0.2)


def test_outliers_are_moved_and_nothing_else() -> None:
    values = noisy([100, 110], 30)
    spoilt = values.copy()
    spoilt[[10, 45]] = [1000, -1000]
    cleaned = without_outliers(spoilt)
    moved = np.flatnonzero(cleaned != spoilt)
    assert moved.tolist() == [10, 45]
    assert np.abs(cleaned - np.repeat([100, 110], 30)).max() < 10


@pytest.mark.parametrize("seed", [42, 1])
def test_labelled_series(seed: int) -> None:
    score = accuracy.score(accuracy.ours, accuracy.labelled([seed]))
    assert score.f1 >= accuracy.LEAST_F1
    assert score.precision >= 0.95


@pytest.mark.parametrize("name", accuracy.QUIET)
def test_false_alarms(name: str) -> None:
    family = accuracy.QUIET[name]
    found = accuracy.false_alarms_per_1000(accuracy.ours, family)
    alone = accuracy.false_alarms_per_1000(accuracy.divisive_alone, family)
    assert found <= (1.0 if name == "AR(1) 0.6" else 0.15)
    assert found <= alone
