"""Verdicts of a whole session: each kind of outcome, its reason, and what must not depend on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, mannwhitneyu

from pytest_aibench.regression.comparison import Change, Comparison, Evidence
from pytest_aibench.regression.suite import SuiteComparison, compare_suite
from pytest_aibench.regression.verdicts import benjamini_hochberg

QUIET = tuple(100 * math.exp(0.01 * z) for z in (-1.5, -1, -0.5, 0.5, 1, 1.5, -0.7, 0.7) * 3)
"""24 runs about 100 with a spread of 1 %."""


def evidence(
    candidate: Sequence[float] = (100.0,),
    baseline: Sequence[float] = QUIET,
    *,
    name: str = "digits",
    metric: str = "p50_ms",
    better: str = "lower",
    again: Sequence[float] = (),
    history: Sequence[float] = (),
    n: int | None = None,
) -> Evidence:
    return Evidence(
        name=name,
        metric=metric,
        better=better,
        baseline=tuple(baseline),
        candidate=tuple(candidate),
        again=tuple(again),
        history=tuple(history),
        n=n,
    )


def judged(given_: Evidence) -> Comparison:
    return compare_suite([given_]).rows[0]


@pytest.mark.parametrize(
    ("given_", "change", "reason"),
    [
        (evidence((105.0,)), Change.REGRESSED, "over 2.0 %, p = 5e-05"),
        (
            evidence((105.0,), again=(105.0,)),
            Change.REGRESSED,
            "over 2.0 %, p = 4e-07, confirmed by a re-run",
        ),
        (evidence((105.0,), again=(100.0,)), Change.INCONCLUSIVE, "a re-run does not confirm it"),
        (evidence((95.0,)), Change.IMPROVED, "over 2.0 %, p = 3e-05"),
        (evidence((98.5,)), Change.NOT_WORSE, "a worsening by 2.0 % is excluded"),
        (
            evidence((100.0,)),
            Change.INCONCLUSIVE,
            "a worsening by 2.0 % is not excluded: 4 runs are needed",
        ),
        (
            evidence((100.0,), metric="memory_bytes"),
            Change.INCONCLUSIVE,
            "a worsening by 1.0 % is not excluded: 24 runs are needed",
        ),
        (
            evidence((100.0,), QUIET[:8], metric="memory_bytes"),
            Change.INCONCLUSIVE,
            "a worsening by 1.0 % is not excluded: "
            "8 earlier runs are too few for it: let some more be kept",
        ),
        (
            evidence((180.0,), QUIET[:3]),
            Change.INCONCLUSIVE,
            "3 of the 8 runs that teach the spread: judged by a fixed 100.0 %",
        ),
        (
            evidence((220.0,), QUIET[:3]),
            Change.REGRESSED,
            "3 of the 8 runs that teach the spread: judged by a fixed 100.0 %",
        ),
        (evidence((115.0,), ()), Change.INCONCLUSIVE, "no earlier run to compare with"),
        (evidence(()), Change.INCONCLUSIVE, "nothing measured"),
        (evidence((-1.0,)), Change.INVALID, "a value is not a number, or below zero"),
        (evidence((math.nan,)), Change.INVALID, "a value is not a number, or below zero"),
        (
            evidence((200.0,), metric="p99_ms", n=300),
            Change.INCONCLUSIVE,
            "too few observations for this percentile: 700 more are needed",
        ),
        (
            evidence((90.0,), metric="steps_to_quality"),
            Change.IMPROVED,
            "over 5.0 %, p = 3e-10: check that it is still the same task",
        ),
    ],
)
def test_verdict_and_reason(given_: Evidence, change: Change, reason: str) -> None:
    row = judged(given_)
    assert (row.change, row.reason) == (change, reason)


def test_three_runs_on_each_side_need_no_history() -> None:
    row = judged(evidence((110.0, 111.0, 112.0), (100.0, 101.0, 102.0)))
    assert row.change is Change.REGRESSED
    assert row.tested


def test_history_at_another_level_teaches_the_spread() -> None:
    row = judged(evidence((105.0,), (100.0,), history=[10 * value for value in QUIET]))
    assert row.change is Change.REGRESSED
    assert row.sd == pytest.approx(0.01, abs=0.002)


def test_figures_of_a_verdict() -> None:
    row = judged(evidence((105.0,)))
    assert row.effect == pytest.approx(0.05, abs=0.001)
    assert row.low == pytest.approx(0.05 - 0.026, abs=0.002)
    assert row.high == pytest.approx(0.05 + 0.027, abs=0.002)
    assert row.detectable == pytest.approx(0.0356, abs=0.001)
    assert row.runs_needed is None
    assert row.suspect


def test_more_runs_are_needed_than_there_are() -> None:
    row = judged(evidence((101.5,) * 9))
    assert (row.change, row.runs_needed) == (Change.INCONCLUSIVE, 10)


def test_scores_are_compared_by_difference() -> None:
    baseline = [0.76 + value / 1e5 for value in QUIET]
    row = judged(evidence((0.74,), baseline, metric="top1", better="higher"))
    assert row.change is Change.REGRESSED
    assert row.text.startswith("-0.0210 [")


def test_equal_runs_make_every_change_certain() -> None:
    rows = [judged(evidence((x,), (100.0,) * 8, metric="memory_bytes")) for x in (100, 100.5, 102)]
    assert [row.change for row in rows] == [
        Change.NOT_WORSE,
        Change.NOT_WORSE,
        Change.REGRESSED,
    ]


def test_the_loose_floor_of_a_score_is_a_share_of_it() -> None:
    rows = [judged(evidence((x,), (0.5,), metric="top1", better="higher")) for x in (0.46, 0.44)]
    assert [row.change for row in rows] == [Change.INCONCLUSIVE, Change.REGRESSED]
    assert rows[0].reason.endswith("judged by a fixed 0.0500")


def test_a_slow_mode_that_was_seen_before_is_no_regression() -> None:
    two_speeds = (*QUIET, 150.0, 160.0)
    assert judged(evidence((150.0,), QUIET, again=(155.0,))).change is Change.REGRESSED
    assert judged(evidence((150.0,), two_speeds, again=(155.0,))).change is Change.INCONCLUSIVE


def test_few_runs_may_not_have_shown_the_slow_mode() -> None:
    """Two runs are so bad by chance in 1 of 225 only if all of 14 earlier ones are better."""
    rows = [
        judged(evidence((value,), (*QUIET[: n - 1], 104.0), again=(value,)))
        for n, value in ((13, 110.0), (14, 110.0), (13, 210.0))
    ]
    changes = [row.change for row in rows]
    assert changes == [Change.INCONCLUSIVE, Change.REGRESSED, Change.REGRESSED]
    assert rows[0].reason == (
        "a re-run shows it too, but 13 earlier runs may not have seen how slow this machine gets: "
        "it takes 14, or a change that doubles the figure"
    )


def test_of_few_runs_both_must_be_the_worst() -> None:
    baseline = (*QUIET[:13], 104.0)
    assert judged(evidence((110.0,), baseline, again=(110.0,))).change is Change.REGRESSED
    assert judged(evidence((110.0,), baseline, again=(104.0,))).change is Change.INCONCLUSIVE


def test_of_a_score_few_runs_are_enough() -> None:
    row = judged(evidence((0.74,), (0.76,) * 8, metric="top1", better="higher", again=(0.74,)))
    assert row.change is Change.REGRESSED


def test_an_outage_in_the_baseline_does_not_blind_the_gate() -> None:
    assert judged(evidence((115.0,), (*QUIET, 1000.0))).change is Change.REGRESSED


factors = st.floats(0.9, 1.1)
cases = st.tuples(
    st.lists(factors, min_size=3, max_size=12),
    st.lists(factors, min_size=1, max_size=3),
    st.lists(factors, max_size=2),
)


@given(cases, st.floats(1e-3, 1e3))
def test_units_do_not_matter(
    case: tuple[list[float], list[float], list[float]], unit: float
) -> None:
    before, after, again = case
    row = judged(evidence(after, before, again=again))
    other = judged(
        evidence(
            [unit * x for x in after], [unit * x for x in before], again=[unit * x for x in again]
        )
    )
    assert row.p == pytest.approx(other.p, abs=1e-6)
    assert row.effect == pytest.approx(other.effect, abs=1e-6)


@given(cases)
def test_a_rate_is_judged_like_its_time(case: tuple[list[float], list[float], list[float]]) -> None:
    before, after, again = case
    time = judged(evidence(after, before, again=again))
    rate = judged(
        evidence(
            [1 / x for x in after],
            [1 / x for x in before],
            again=[1 / x for x in again],
            metric="throughput_samples_per_s",
            better="higher",
        )
    )
    assert rate.p == pytest.approx(time.p, abs=1e-6)
    assert rate.change is time.change
    assert time.low is None or rate.high == pytest.approx(1 / (1 + time.low) - 1, rel=1e-6)


@given(st.integers(1, 20), st.integers(1, 20))
def test_more_runs_never_detect_less(runs: int, more: int) -> None:
    few, many = (judged(evidence((100.0,) * k)) for k in (runs, runs + more))
    assert few.detectable is not None
    assert many.detectable is not None
    assert many.detectable < few.detectable


def test_a_large_outlier_is_only_an_upset_until_it_is_confirmed() -> None:
    first = judged(evidence((150.0,)))
    assert first.suspect
    assert not judged(evidence((150.0,), again=(150.0,))).suspect
    assert judged(evidence((150.0,), again=(100.0,))).change is not Change.REGRESSED


# Runs that never came to an end.


def steps(
    candidate: Sequence[float], baseline: Sequence[float], again: Sequence[float] = ()
) -> Comparison:
    return judged(evidence(candidate, baseline, metric="steps_to_quality", again=again))


def test_one_training_that_does_not_converge_asks_for_another() -> None:
    row = steps((math.inf,), QUIET)
    assert (row.change, row.suspect, row.runs_needed) == (Change.INCONCLUSIVE, True, 2)
    assert row.reason == "by rank, 1 of 1 runs without a finite value: p = 0.04"


def test_two_are_a_regression() -> None:
    row = steps((math.inf,), QUIET, (math.inf,))
    assert (row.change, row.suspect) == (Change.REGRESSED, False)
    assert row.p == pytest.approx(1 / math.comb(26, 2))


def test_convergence_regained_is_an_improvement() -> None:
    assert steps((100.0,) * 4, (math.inf,) * 8).change is Change.IMPROVED


def test_nothing_converged_before_or_after() -> None:
    assert steps((math.inf,) * 3, (math.inf,) * 8).change is Change.INCONCLUSIVE


def test_no_answer_in_time_any_more() -> None:
    row = judged(
        evidence((0.0,), metric="goodput_qps", better="higher", again=(0.0,)),
    )
    assert row.change is Change.REGRESSED


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=5, unique=True),
    st.lists(st.integers(51, 99).map(lambda x: 2 * (x - 51)), min_size=2, max_size=6, unique=True),
)
def test_ranks_against_scipys_exact_test(after: list[int], before: list[int]) -> None:
    after = [2 * x + 1 for x in after]  # odd and even: no ties
    row = steps([1.0 + x for x in after], [1.0 + x for x in before], (math.inf,))
    expected = mannwhitneyu([*after, 1e9], before, alternative="greater", method="exact").pvalue
    assert row.p == pytest.approx(expected)


# Whole suites.

N_SESSIONS = 20
SESSIONS = tuple(f"session {i}" for i in range(N_SESSIONS))


def suite(
    n: int,
    *,
    now: float = 0.0,
    session_sd: float = 0.01,
    slower: Sequence[int] = (),
    seed: int = 0,
    metric: str = "p50_ms",
    name: str = "benchmark",
) -> list[Evidence]:
    """Benchmarks with a spread of their own of 1 %, in sessions that move them all."""
    rng = np.random.default_rng(seed)
    shared = np.append(session_sd * rng.standard_normal(N_SESSIONS), now)
    found = []
    for i in range(n):
        values = np.exp(0.01 * rng.standard_normal(N_SESSIONS + 1) + shared)
        values[-1] *= 1.08 if i in slower else 1
        found.append(
            Evidence(
                name=f"{name} {i}",
                metric=metric,
                better="lower",
                baseline=tuple(values[:-1].tolist()),
                candidate=(float(values[-1]),),
                sessions=SESSIONS,
                hardware="cpu",
            )
        )
    return found


def names(found: SuiteComparison) -> list[str]:
    return [row.evidence.name for row in found.regressed]


def test_a_slow_machine_is_told_once() -> None:
    found = compare_suite(suite(200, now=0.10))
    assert names(found) == ["200 benchmarks"]
    assert found.shifts[0].effect == pytest.approx(0.10, abs=0.02)
    assert found.shifts[0].evidence.hardware == "cpu"
    assert found.n_tested == 200


def test_single_regressions_stand_out_from_a_slow_machine() -> None:
    found = compare_suite(suite(200, now=0.10, slower=(3, 77)))
    assert names(found) == ["200 benchmarks", "benchmark 3", "benchmark 77"]


def test_a_usual_session_effect_is_no_alarm_and_hides_nothing() -> None:
    found = compare_suite(suite(200, now=0.015, slower=(3, 77)))
    assert names(found) == ["benchmark 3", "benchmark 77"]
    assert found.shifts[0].change is not Change.REGRESSED


def test_the_shift_is_taken_out_of_the_spread_too() -> None:
    rows = compare_suite(suite(200, session_sd=0.05)).rows
    spreads = [row.sd for row in rows if row.sd is not None]
    assert np.median(spreads) == pytest.approx(0.01, abs=0.001)


def test_memory_does_not_move_with_the_machine() -> None:
    memory = suite(200, now=0.10, session_sd=0.0, metric="memory_bytes")
    found = compare_suite(memory)
    assert found.shifts == ()
    assert len(found.regressed) == 200


def test_each_class_of_hardware_has_its_own_shift() -> None:
    cuda = [replace(e, hardware="cuda") for e in suite(20, seed=1)]
    found = compare_suite([*suite(20, now=0.10), *cuda])
    slower, same = found.shifts
    assert slower.change is Change.REGRESSED
    assert same.change is not Change.REGRESSED


def test_few_benchmarks_have_no_common_shift() -> None:
    found = compare_suite(suite(9, now=0.10))
    assert found.shifts == ()
    assert len(found.regressed) == 9


def test_of_few_benchmarks_the_canaries_tell_what_the_machine_did() -> None:
    canaries = suite(3, now=0.10, name="canary")
    found = compare_suite(suite(9, now=0.10, slower=(2,)), canaries=canaries)
    assert names(found) == ["3 canaries", "benchmark 2"]
    assert [row.change for row in found.canaries] == [Change.REGRESSED] * 3


def test_quiet_canaries_take_nothing_out() -> None:
    canaries = suite(3, name="canary")
    found = compare_suite(suite(9, now=0.10), canaries=canaries)
    assert len(found.regressed) == 9


def test_canaries_that_moved_as_usual_take_nothing_out() -> None:
    few, canaries = suite(9), suite(3, now=0.02, name="canary")
    alone, watched = compare_suite(few), compare_suite(few, canaries=canaries)
    assert watched.rows == alone.rows
    assert watched.shifts[0].effect == pytest.approx(0.0076, abs=0.0001)


def test_the_shift_is_that_of_the_first_timing_of_each_benchmark() -> None:
    both = [
        e
        for p50, p99 in zip(suite(20, now=0.10), suite(20, metric="p99_ms"), strict=True)
        for e in (p50, p99)
    ]
    shift = compare_suite(both).shifts[0]
    assert shift.evidence.name == "20 benchmarks"
    assert shift.effect == pytest.approx(0.10, abs=0.02)


def test_sessions_of_few_benchmarks_teach_no_shift() -> None:
    rows = suite(20)
    rows[:3] = [
        replace(e, baseline=(*e.baseline, 5.0), sessions=(*e.sessions, "of three"))
        for e in rows[:3]
    ]
    assert len(compare_suite(rows).shifts[0].evidence.baseline) == N_SESSIONS


def test_a_rerun_on_the_slow_machine_is_as_slow() -> None:
    rows = suite(200, now=0.10, slower=(3,))
    for again, change in ((1.10, Change.INCONCLUSIVE), (1.18, Change.REGRESSED)):
        rows[3] = replace(rows[3], again=(again,))
        assert compare_suite(rows).rows[3].change is change


def test_among_many_tests_a_doubtful_one_is_run_again() -> None:
    rows = suite(500)
    rows[0] = replace(rows[0], baseline=QUIET, candidate=(103.5,), sessions=())
    first = compare_suite(rows)
    assert first.rows[0].change is Change.INCONCLUSIVE
    assert first.rows[0] in first.suspects
    assert first.rows[0].reason == "p = 0.002 may be chance among so many tests: run it again"
    rows[0] = replace(rows[0], again=(104.5,))
    again = compare_suite(rows)
    assert again.rows[0].change is Change.REGRESSED
    assert again.rows[0] not in again.suspects


def test_the_order_of_the_evidence_does_not_matter() -> None:
    rows = suite(50, slower=(1, 2))
    there, back = compare_suite(rows), compare_suite(rows[::-1])
    assert sorted(names(there)) == sorted(names(back))


def test_nothing_to_compare() -> None:
    assert compare_suite([]) == SuiteComparison(rows=(), shifts=(), canaries=())


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_correction_against_scipys(p: list[float]) -> None:
    adjusted = benjamini_hochberg(np.array(p, np.float64))
    assert adjusted.tolist() == pytest.approx(false_discovery_control(p).tolist())


def test_confirmed_but_too_weak_among_many() -> None:
    rows = suite(500)
    rows[0] = replace(
        rows[0], baseline=QUIET, candidate=(102.9,), again=(102.9,), sessions=(), floor=0.001
    )
    found = compare_suite([*rows, *suite(4500, seed=1, name="other")])
    assert found.rows[0].change is Change.INCONCLUSIVE
    assert found.rows[0].reason == "p = 0.0003 may be chance among so many tests: run it again"
    assert compare_suite([replace(rows[0], hardware="alone")]).rows[0].change is Change.REGRESSED
