"""Evidence, floors by a metric's name, and Student's test against scipy and published figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_aibench.errors import UserError
from pytest_aibench.regression.comparison import (
    Change,
    Comparison,
    Evidence,
    change_text,
    from_scale,
    kind_of,
    observations_missing,
    on_scale,
)
from pytest_aibench.regression.spread import Floats, Spread, learn, moments
from pytest_aibench.regression.student import (
    POWER,
    StudentTest,
    detection_power,
    runs_needed,
    student_test,
)


def evidence(
    metric: str = "p50_ms",
    baseline: Sequence[float] = (1.0,),
    n: int | None = None,
    floor: float | None = None,
    resolution: float = 0.0,
) -> Evidence:
    return Evidence(
        name="digits",
        metric=metric,
        better="lower",
        baseline=tuple(baseline),
        candidate=(1.0,),
        n=n,
        floor=floor,
        resolution=resolution,
    )


@pytest.mark.parametrize(
    ("metric", "floor", "absolute", "timing"),
    [
        ("p50_ms", 0.02, False, True),
        ("p97_ms", 0.02, False, True),
        ("mean_ms", 0.02, False, True),
        ("throughput_samples_per_s", 0.02, False, True),
        ("tokens_per_s", 0.02, False, True),
        ("peak_qps", 0.02, False, True),
        ("peak_streams", 0.02, False, True),
        ("s_per_step", 0.02, False, True),
        ("p99_ms", 0.05, False, True),
        ("p999_ms", 0.05, False, True),
        ("ttft_p99_ms", 0.05, False, True),
        ("energy_j", 0.03, False, False),
        ("j_per_sample", 0.03, False, False),
        ("peak_memory_bytes", 0.01, False, False),
        ("memory_mib", 0.01, False, False),
        ("steps_to_quality", 0.05, False, False),
        ("epochs_to_quality", 0.05, False, False),
        ("time_to_quality_s", 0.05, False, False),
        ("energy_to_quality_j", 0.05, False, False),
        ("convergence_factor", 0.02, False, False),
        ("top1", 0.002, True, False),
        ("goodput", 0.002, True, False),
    ],
)
def test_kind_follows_from_the_name(
    metric: str, floor: float, absolute: bool, timing: bool
) -> None:
    kind = kind_of(metric)
    assert (kind.floor, kind.absolute, kind.timing) == (floor, absolute, timing)


@pytest.mark.parametrize(
    ("given_", "floor"),
    [
        (evidence(), 0.02),
        (evidence(floor=0.001), 0.001),
        (evidence(resolution=0.02), 0.04),
        (evidence("top1", n=360), 2 / 360),
        (evidence("top1", n=50_000), 0.002),
        (evidence("epochs_to_quality", baseline=(3.0, 4.0)), 2 / 3),
        (evidence("steps_to_quality", baseline=(900.0, 1000.0)), 0.05),
    ],
)
def test_smallest_change_is_at_least_two_steps(given_: Evidence, floor: float) -> None:
    assert given_.smallest_change == pytest.approx(floor)


@pytest.mark.parametrize(
    ("metric", "n", "missing"),
    [
        ("p50_ms", 20, 0),
        ("p50_ms", 19, 1),
        ("p90_ms", 100, 0),
        ("p99_ms", 999, 1),
        ("ttft_p99_ms", 1000, 0),
        ("p999_ms", 1000, 9000),
        ("mean_ms", 1, 0),
        ("top1", 1, 0),
    ],
)
def test_a_percentile_needs_ten_observations_beyond_it(metric: str, n: int, missing: int) -> None:
    assert observations_missing(metric, n) == missing


@pytest.mark.parametrize(
    ("metric", "change", "text"),
    [
        ("p50_ms", 0.0512, "+5.1 %"),
        ("p50_ms", -0.5, "-50.0 %"),
        ("p50_ms", 11.0, "x12"),
        ("top1", -0.005, "-0.0050"),
    ],
)
def test_text_of_a_change(metric: str, change: float, text: str) -> None:
    assert change_text(metric, change) == text


def test_text_of_a_comparison() -> None:
    known = Comparison(
        evidence=evidence(),
        change=Change.REGRESSED,
        reason="",
        effect=0.05,
        low=0.02,
        high=0.08,
    )
    unknown = Comparison(evidence=evidence(), change=Change.INCONCLUSIVE, reason="", effect=0.05)
    nothing = Comparison(evidence=evidence(), change=Change.INCONCLUSIVE, reason="")
    assert known.text == "+5.0 % [+2.0 %, +8.0 %]"
    assert unknown.text == "+5.0 %"
    assert nothing.text == "-"


@pytest.mark.parametrize("metric", ["p50_ms", "top1"])
@given(st.floats(-0.9, 100))
def test_scale_and_back(metric: str, change: float) -> None:
    assert from_scale(metric, on_scale(metric, change)) == pytest.approx(change, abs=1e-12)


def test_an_absurd_difference_stays_finite() -> None:
    assert math.isfinite(from_scale("p50_ms", 1e6))


def test_unknown_direction() -> None:
    with pytest.raises(UserError, match=r"^better='up' of p50_ms: use 'higher' or 'lower'$"):
        Evidence(name="digits", metric="p50_ms", better="up", baseline=(), candidate=())


def test_sessions_of_other_runs() -> None:
    with pytest.raises(UserError) as error:
        Evidence(
            name="digits",
            metric="p50_ms",
            better="lower",
            baseline=(1.0, 2.0),
            candidate=(1.0,),
            sessions=("a",),
        )
    assert str(error.value) == (
        "1 sessions for 2 baseline runs of digits: give one session for each run"
    )


runs = st.lists(st.floats(-3, 3).map(lambda x: round(x, 3)), min_size=2, max_size=7)


def single(baseline: Sequence[float], candidate: Sequence[float], equal: bool) -> StudentTest:
    """Test two groups without any history."""
    rows = np.array([baseline])
    spread = learn(rows, np.empty((1, 0)), 0.01)
    return student_test(spread, np.array([len(baseline)]), np.array([candidate]), np.array([equal]))


@given(runs, runs)
def test_against_scipys_pooled_test(before: list[float], after: list[float]) -> None:
    if np.ptp(before) > 0 and np.ptp(after) > 0:
        expected = stats.ttest_ind(after, before, alternative="greater").pvalue
        assert single(before, after, True).p_worse[0] == pytest.approx(expected, abs=1e-9)


@given(runs, runs.filter(lambda values: len(values) >= 3))
def test_against_scipys_test_of_welch(before: list[float], after: list[float]) -> None:
    if np.ptp(before) > 0 and np.ptp(after) > 0:
        expected = stats.ttest_ind(after, before, equal_var=False, alternative="greater").pvalue
        assert single(before, after, False).p_worse[0] == pytest.approx(expected, abs=1e-9)


def test_two_runs_have_no_spread_of_their_own() -> None:
    before, after = [1.0, 2.0, 4.0], [3.0, 7.0]
    assert single(before, after, False).p_worse == single(before, after, True).p_worse


@given(runs, runs, st.booleans())
def test_swapping_the_sides_mirrors_the_test(a: list[float], b: list[float], equal: bool) -> None:
    if np.ptp(a) + np.ptp(b) > 0:
        equal = equal or min(len(a), len(b)) < 3  # two runs are not enough for a spread of its own
        there, back = single(a, b, equal), single(b, a, equal)
        assert there.difference == pytest.approx(-back.difference)
        assert there.p_worse == pytest.approx(back.mirrored().p_worse, abs=1e-9)


def test_runs_that_are_all_alike_leave_no_doubt() -> None:
    test = StudentTest(
        difference=np.array([1.0, 0.0, -1.0, 1.0]),
        se=np.array([0.0, 0.0, 0.0, np.nan]),
        df=np.array([9.0, 9.0, 9.0, 0.0]),
    )
    assert test.p_worse[:3].tolist() == [0.0, 0.5, 1.0]
    assert math.isnan(test.p_worse[3])


def known_spread(sd: float, df: float = np.inf) -> Spread:
    return Spread(mean=np.zeros(1), sd=np.array([sd]), df=np.array([df]), runs=np.array([99.0]))


def test_three_runs_on_each_side_detect_three_percent_at_a_spread_of_one() -> None:
    floor = np.array([math.log(1.03)])
    needed = {
        runs: runs_needed(known_spread(0.01), np.array([runs]), floor, 0.01)[0] for runs in (2, 3)
    }
    assert needed[2] > 2
    assert needed[3] <= 3


@given(
    sd=st.floats(0.001, 0.1),
    df=st.integers(3, 60),
    baseline=st.integers(1, 30),
    floor=st.floats(0.005, 0.2),
)
def test_runs_needed_are_the_fewest_that_detect_the_floor(
    sd: float, df: int, baseline: int, floor: float
) -> None:
    spread, count = known_spread(sd, df), np.array([baseline])
    needed = runs_needed(spread, count, np.array([floor]), 0.01)[0]
    reach = sd * (stats.t.ppf(0.99, df) + stats.t.ppf(POWER, df))

    def detectable(runs: float) -> float:
        return float(reach * math.sqrt(1 / baseline + 1 / runs))

    if math.isinf(needed):
        assert detectable(math.inf) >= floor * (1 - 1e-9)
    else:
        assert detectable(needed) <= floor * (1 + 1e-9)
        assert needed == 1 or detectable(needed - 1) > floor * (1 - 1e-9)


@pytest.mark.parametrize("floor", [0.0, 0.03])
def test_power_against_simulation(floor: float) -> None:
    rng = np.random.default_rng(5)
    n, worsening = 20_000, 0.03
    history = 0.01 * rng.standard_normal((n, 10))
    candidate = worsening + 0.01 * rng.standard_normal(n)
    se = history.std(axis=1, ddof=1) * math.sqrt(1 + 1 / 10)
    difference = candidate - history.mean(axis=1)
    caught = np.mean((difference / se >= stats.t.ppf(0.99, 9)) & (difference > floor))
    power = detection_power(worsening, floor=floor, sd=0.01, df=9, runs=(10, 1), alpha=0.01)
    assert power == pytest.approx(caught, abs=0.02)


def test_power_without_spread() -> None:
    low, high = (
        detection_power(worsening, floor=0.02, sd=0.0, df=9.0, runs=(10, 1), alpha=0.01)
        for worsening in (0.01, 0.03)
    )
    assert (low, high) == (0.0, 1.0)


def rejected(runs: int, worsening: float) -> float:
    """Share of two-sided rejections at 0.05 with a spread learnt from 20 earlier runs.

    Runs are medians of 2,000 latencies with a spread of 5 % inside a run, 1 % between runs.
    """
    rng = np.random.default_rng(runs)
    n = 4000
    sd = math.hypot(0.01, 0.05 * math.sqrt(math.pi / 2 / 2000))

    def drawn(k: int) -> Floats:
        values: Floats = sd * rng.standard_normal((n, k))
        return values

    before, history = moments(drawn(runs)), moments(drawn(20))
    df = before[0] + history[0] - 2
    known = np.sqrt((before[2] + history[2]) / df)
    spread = Spread(mean=before[1], sd=known, df=df, runs=df)
    candidate = drawn(runs) + worsening
    test = student_test(spread, np.full(n, runs), candidate, np.ones(n, np.bool_))
    return float(np.mean((test.p_worse <= 0.025) | (test.mirrored().p_worse <= 0.025)))


@pytest.mark.parametrize(
    ("runs", "alike", "caught"), [(1, 0.05, 0.53), (3, 0.03, 0.94), (5, 0.05, 0.99)]
)
def test_published_rates_of_a_learnt_spread(runs: int, alike: float, caught: float) -> None:
    assert rejected(runs, 0.0) == pytest.approx(alike, abs=0.025)
    assert rejected(runs, math.log(1.03)) == pytest.approx(caught, abs=0.04)


def test_power_of_a_comparison() -> None:
    known = Comparison(
        evidence=evidence(baseline=(1.0,) * 20),
        change=Change.NOT_WORSE,
        reason="",
        sd=0.01,
        df=19.0,
    )
    unknown = Comparison(evidence=evidence(), change=Change.INCONCLUSIVE, reason="")
    assert unknown.power(0.05) is None
    assert known.power(0.05) == detection_power(
        math.log(1.05),
        floor=math.log(1.02),
        sd=math.log(1.01),
        df=19.0,
        runs=(20, 1),
        alpha=0.01,
    )
