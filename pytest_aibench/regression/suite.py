"""All figures of a session against their baselines: first the whole suite, then each alone.

The order matters. A slow machine moves every benchmark at once, which no correction for many tests
helps against; so the common shift is told, and taken out, before single benchmarks are judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pytest_aibench.regression.comparison import ALPHA, SHIFT, Change, Comparison, Evidence
from pytest_aibench.regression.spread import Floats, count, moments, row_medians
from pytest_aibench.regression.verdicts import Figures, figures_of, judge

Flags = npt.NDArray[np.bool_]

MIN_BENCHMARKS = 10
"""Fewest benchmarks whose median stands for the machine and not for one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteComparison:
    """The verdicts on a session.

    Attributes:
        rows: One comparison for each piece of evidence, in its order.
        shifts: How far all timings moved together, one for each class of hardware: a slow-down of
            everything stands here, once.
        canaries: The benchmarks that use no code of the user's.
    """

    rows: tuple[Comparison, ...]
    shifts: tuple[Comparison, ...]
    canaries: tuple[Comparison, ...]

    @property
    def regressed(self) -> tuple[Comparison, ...]:
        """What got worse: the suite as a whole first, then single figures."""
        rows = (*self.shifts, *self.rows)
        return tuple(row for row in rows if row.change is Change.REGRESSED)

    @property
    def suspects(self) -> tuple[Comparison, ...]:
        """What a re-run should confirm or refute; regressions without a re-run are among them."""
        return tuple(row for row in self.rows if row.suspect)

    @property
    def n_tested(self) -> int:
        """How many figures share the chance of false alarms."""
        return sum(row.tested for row in self.rows)


def compare_suite(
    evidence: Sequence[Evidence], *, canaries: Sequence[Evidence] = (), alpha: float = ALPHA
) -> SuiteComparison:
    """Judge every figure of a session against its own history.

    Run the suspects again, put the new values into `Evidence.again`, and call it a second time
    with all the evidence: a regression then counts only if both runs show it.

    Args:
        evidence: One piece for each metric of each benchmark that is to be judged.
        canaries: Likewise for benchmarks of the machine alone, like a fixed matrix product. They
            stand for the machine where there are fewer than ten benchmarks.
        alpha: Highest chance of a false flag of one figure, before the correction for many.
    """
    figures, watched = figures_of(evidence), figures_of(canaries)
    shifts = _shifts(figures, watched, alpha)
    rows = judge(_levelled(figures, shifts), alpha)
    return SuiteComparison(
        rows=tuple(rows),
        shifts=tuple(shift.row for shift in shifts.values()),
        canaries=tuple(judge(watched, alpha)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shift:
    """How far a group of timings moved together, on the scale of comparison.

    Attributes:
        row: The verdict on it: the group is one more series.
        now: The candidate's shift, to be taken out.
        past: Those of earlier sessions.
    """

    row: Comparison
    now: float
    past: Mapping[str, float]


def _shifts(figures: Figures, canaries: Figures, alpha: float) -> dict[str, _Shift]:
    """The shift on each class of hardware that has one: of the suite, or else of the canaries."""
    shifts = {}
    for hardware in dict.fromkeys(e.hardware for e in figures.evidence):
        leading = {figures.evidence[i].name: i for i in reversed(_timings(figures, hardware))}
        watched = _timings(canaries, hardware)
        if len(leading) >= MIN_BENCHMARKS:
            group = figures.take(sorted(leading.values()))
            shifts[hardware] = _shift(group, "benchmarks", MIN_BENCHMARKS, alpha)
        elif watched:
            moved = _shift(canaries.take(watched), "canaries", 1, alpha)
            # They stand for a moment only: they may excuse a slow benchmark, never accuse one.
            slower = moved.row.change is Change.REGRESSED and moved.row.tested
            shifts[hardware] = replace(moved, now=moved.now if slower else 0.0, past={})
    return shifts


def _timings(figures: Figures, hardware: str) -> list[int]:
    """Rows that a slow machine would move, and that have finite values on both sides."""
    usable = _finite(figures.baseline) & _finite(figures.candidate)
    return [
        i
        for i, e in enumerate(figures.evidence)
        if usable[i] and e.kind.timing and e.hardware == hardware
    ]


def _finite(rows: Floats) -> Flags:
    """Rows that have values, none of them without bound."""
    return (count(rows) > 0) & ~np.isinf(rows).any(axis=1)


def _shift(figures: Figures, what: str, fewest: int, alpha: float) -> _Shift:
    """The median move of a group, judged by those of sessions with at least ``fewest`` of it."""
    evidence = figures.evidence
    centre = row_medians(figures.baseline)
    now = float(np.median(_means(figures.candidate) - centre))
    column = {s: i for i, s in enumerate(dict.fromkeys(s for e in evidence for s in e.sessions))}
    moves = np.full((len(evidence), len(column)), np.nan)
    for row, e in enumerate(evidence):
        values = figures.baseline[row, : len(e.sessions)]
        moves[row, [column[session] for session in e.sessions]] = values - centre[row]
    enough = count(moves.T) >= fewest
    medians = zip(column, row_medians(moves.T).tolist(), enough.tolist(), strict=True)
    past = {session: median for session, median, known in medians if known}
    series = Evidence(
        name=f"{len(evidence)} {what}",
        metric=SHIFT,
        better="lower",
        baseline=tuple(map(math.exp, past.values())),
        candidate=(math.exp(now),),
        sessions=tuple(past),
        hardware=evidence[0].hardware,
    )
    return _Shift(row=judge(figures_of([series]), alpha)[0], now=now, past=past)


def _means(rows: Floats) -> Floats:
    return moments(rows)[1]


def _levelled(figures: Figures, shifts: Mapping[str, _Shift]) -> Figures:
    """The figures without the moves that they share with others."""
    now, past = np.zeros((len(figures.evidence), 1)), np.zeros_like(figures.baseline)
    for row, e in enumerate(figures.evidence):
        if e.kind.timing and e.hardware in shifts:
            shift = shifts[e.hardware]
            now[row] = shift.now
            past[row, : len(e.sessions)] = [shift.past.get(session, 0.0) for session in e.sessions]
    return replace(
        figures,
        baseline=figures.baseline - past,
        candidate=figures.candidate - now,
        again=figures.again - now,
    )
