"""The simulation behind the gate's false-alarm rate and power, made small."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.harness._rows import Row
from benchmarks.harness.gate_power import (
    CASES,
    OTHERS,
    Case,
    Figures,
    corrected,
    figures,
    fixed,
    gate,
    rows_of,
    simulate,
    uncorrected,
)


@pytest.mark.parametrize("session_sd", [0.0, 0.01])
def test_few_false_alarms_and_most_regressions(session_sd: float) -> None:
    case = Case(session_sd=session_sd)
    ours, single, alone, ten = figures(
        case, [gate, uncorrected, corrected, fixed], seed=11, n_quiet=60, n_slowed=5
    )
    assert ours.false_alarms <= 0.1
    assert ours.recall >= 0.8
    assert single.false_alarms > 10
    assert (alone.false_alarms > 1) == (session_sd > 0)
    assert ten.recall < 0.2


def test_a_rerun_stands_outliers() -> None:
    once, twice = (
        figures(Case(runs=1, outliers=0.03, rerun=rerun), [gate], seed=12, n_quiet=10, n_slowed=5)[
            0
        ]
        for rerun in (False, True)
    )
    assert once.false_alarms > 1
    assert twice.false_alarms <= 0.1
    assert twice.recall > once.recall


def test_a_session_shares_its_shift() -> None:
    session = simulate(Case(session_sd=0.5), 0, np.random.default_rng(1))
    assert np.ptp(np.median(session.history, axis=0)) > 0.5
    assert np.median(session.candidate) == pytest.approx(np.median(session.again), abs=0.01)


def test_slower_benchmarks_come_first() -> None:
    session = simulate(Case(runs=200), 7, np.random.default_rng(1))
    slower = session.candidate.mean(axis=1) > np.log(1.05) / 2
    assert slower.tolist() == [True] * 7 + [False] * 493


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (Case(), "3 runs"),
        (Case(runs=1, rerun=True), "1 run and a re-run"),
        (
            Case(session_sd=0.01, outliers=0.03),
            "3 runs, sessions differ by 1%, 3% of runs far off",
        ),
    ],
)
def test_cases_read_well(case: Case, text: str) -> None:
    assert str(case) == text


def test_rows() -> None:
    others = [Figures(20.0, 0.9)] * len(OTHERS)
    rows = rows_of(Case(), [Figures(0.2, 0.85), *others])
    assert len(rows) == 6
    assert rows[0] == Row(
        "false alarms, 3 runs: uncorrected p < 0.05", 0.2, 20.0, None, "at most 0.1", False
    )
    assert rows[-1] == Row("recall, 3 runs: fixed 10 %", 0.85, 0.9, None, "at least 0.8", True)


def test_a_rerun_has_no_goal() -> None:
    rows = rows_of(CASES[-1], [Figures(9.0, 0.1)] * (1 + len(OTHERS)))
    assert {(row.goal, row.met) for row in rows} == {("none", True)}
