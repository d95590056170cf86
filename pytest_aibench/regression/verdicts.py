"""From figures to verdicts: tests of many comparisons at once, and the reason for each verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pytest_aibench.regression.comparison import (
    Change,
    Comparison,
    Evidence,
    change_text,
    from_scale,
    observations_missing,
    on_scale,
)
from pytest_aibench.regression.spread import MIN_RUNS, Floats, Spread, as_rows, count, learn
from pytest_aibench.regression.student import POWER, StudentTest, runs_needed, student_test

Flags = npt.NDArray[np.bool_]

FALSE_DISCOVERY_RATE = 0.05
"""Expected share of false ones among the flags of a session."""

RANK_ALPHA = 0.005
"""Highest chance of two runs as bad by their ranks."""

RANKED_RUNS = math.ceil(RANK_ALPHA**-0.5) - 1
"""Fewest baseline runs of which two can be so bad by their ranks."""

_ROUNDING = 1e-9

LOOSE_RATIO, LOOSE_SCORE = 1.0, 0.10
"""What a figure must change by, as a share, to be flagged before its spread is known.

A timing has to double: runs of the same code may lie 1.7 apart. A score depends on no machine."""

_MIN_OWN_RUNS = 3  # on each side are a comparison without any history


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The values of n comparisons on the scale where larger is worse, shapes (n, runs).

    That is the logarithm, for scores the value itself, less that of the first run; its sign is
    turned where higher is better.
    """

    evidence: tuple[Evidence, ...]
    history: Floats
    baseline: Floats
    candidate: Floats
    again: Floats

    def take(self, rows: Sequence[int]) -> Figures:
        """Some of the comparisons."""
        index = np.array(rows, np.intp)
        return Figures(
            evidence=tuple(self.evidence[i] for i in rows),
            history=self.history[index],
            baseline=self.baseline[index],
            candidate=self.candidate[index],
            again=self.again[index],
        )


def figures_of(evidence: Sequence[Evidence]) -> Figures:
    """Put the values of the evidence on the scale of comparison."""
    absolute = np.array([e.kind.absolute for e in evidence], np.bool_)[:, None]
    sign = np.array([e.sign for e in evidence], np.float64)[:, None]

    def scaled(series: list[tuple[float, ...]]) -> Floats:
        values = as_rows(series)
        with np.errstate(divide="ignore", invalid="ignore"):
            return sign * np.where(absolute, values, np.log(values))

    # Counted from the first run, equal runs differ by nothing, not even by rounding.
    origin = scaled([e.baseline[:1] or (1.0,) for e in evidence])
    origin = np.where(np.isfinite(origin), origin, 0.0)
    history = scaled([e.history for e in evidence])
    return Figures(
        evidence=tuple(evidence),
        history=np.where(np.isfinite(history), history, np.nan) - origin,
        baseline=scaled([e.baseline for e in evidence]) - origin,
        candidate=scaled([e.candidate for e in evidence]) - origin,
        again=scaled([e.again for e in evidence]) - origin,
    )


def judge(figures: Figures, alpha: float) -> list[Comparison]:
    """The verdict on each comparison; all that are tested share the chance of false alarms."""
    rows = {i: found for i, e in enumerate(figures.evidence) if (found := _obstacle(e))}
    endless = np.isinf(np.hstack([figures.baseline, figures.candidate, figures.again])).any(axis=1)
    for i in set(np.flatnonzero(endless).tolist()) - rows.keys():
        rows[i] = _by_rank(figures.take([i]), alpha)
    plain = [i for i in range(len(figures.evidence)) if i not in rows]
    tests = _test(figures.take(plain), alpha)
    for i, row in zip(plain, _rows(tests), strict=True):
        rows[i] = _comparison(figures.evidence[i], row)
    return [rows[i] for i in range(len(rows))]


def _obstacle(evidence: Evidence) -> Comparison | None:
    """What cannot be tested at all, with the reason."""
    if not evidence.candidate:
        return Comparison(evidence=evidence, change=Change.INCONCLUSIVE, reason="nothing measured")
    if not evidence.baseline:
        reason = "no earlier run to compare with"
        return Comparison(evidence=evidence, change=Change.INCONCLUSIVE, reason=reason)
    least = -math.inf if evidence.kind.absolute else 0.0
    values = (*evidence.baseline, *evidence.candidate, *evidence.again, *evidence.history)
    if not all(value >= least for value in values):
        reason = "a value is not a number, or below zero"
        return Comparison(evidence=evidence, change=Change.INVALID, reason=reason)
    missing = 0 if evidence.n is None else observations_missing(evidence.metric, evidence.n)
    if missing:
        reason = f"too few observations for this percentile: {missing} more are needed"
        return Comparison(evidence=evidence, change=Change.INCONCLUSIVE, reason=reason)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tests:
    """What n comparisons came to; arrays of shape (n,).

    Attributes:
        learnt: The spread is known well enough to be trusted.
        floor: The smallest change worth an alarm, on the scale of comparison.
        needed: Candidate runs that detect a worsening by the floor; infinite where none do.
        first: The candidate against the baseline.
        second: The re-run against the baseline; NaN without one.
        both: The candidate and its re-run, taken together.
        worst: Candidate and re-run are among the worst runs there were; True without a re-run.
        alpha: Highest chance of a false flag of one figure.
    """

    spread: Spread
    learnt: Flags
    floor: Floats
    needed: Floats
    first: StudentTest
    second: StudentTest
    both: StudentTest
    worst: Flags
    alpha: float

    @property
    def rerun(self) -> Flags:
        """A re-run was made."""
        return ~np.isnan(self.second.difference)

    @property
    def flagged(self) -> Flags:
        """The candidate looks worse by itself; where the spread is unknown the floor decides."""
        return self._flags(self.first)

    @property
    def confirmed(self) -> Flags:
        """The re-run, if there is one, looks worse too, and both look so by rank."""
        return self.flagged & (self.repeated | ~self.rerun) & self.worst

    @property
    def repeated(self) -> Flags:
        """The re-run looks worse by itself, too."""
        return self._flags(self.second)

    @property
    def regressed(self) -> Flags:
        """Worse, and not what chance brings about among so many tests.

        The chance is that of both runs together. It stays a valid one although only flagged
        figures are run again: below alpha, p can be no other than that of both runs.
        """
        p = np.where(self.both.difference > self.floor, self.both.p_worse, 1.0)
        p[self.learnt] = benjamini_hochberg(p[self.learnt])
        return self.confirmed & (~self.learnt | (p <= FALSE_DISCOVERY_RATE))

    def mirrored(self) -> _Tests:
        """The same with better and worse exchanged."""
        first, second, both = (t.mirrored() for t in (self.first, self.second, self.both))
        return replace(
            self, first=first, second=second, both=both, worst=np.full_like(self.worst, True)
        )

    def _flags(self, test: StudentTest) -> Flags:
        return (test.difference > self.floor) & ~(test.p_worse > self.alpha)


def benjamini_hochberg(p: Floats) -> Floats:
    """The smallest false discovery rate at which each test is a discovery (JRSS B 57, 1995).

    The same as `scipy.stats.false_discovery_control`, whose import takes longer than a gate may.
    """
    order = np.argsort(p)[::-1]
    adjusted = np.empty_like(p)
    ranks = np.arange(len(p), 0, -1)
    adjusted[order] = np.minimum.accumulate(p[order] * len(p) / ranks)
    return adjusted


def _test(figures: Figures, alpha: float) -> _Tests:
    spread = _spread(figures, alpha)
    runs = count(figures.baseline)
    equal_spread = np.array([e.kind.equal_spread for e in figures.evidence], np.bool_)
    together = np.hstack([figures.candidate, figures.again])
    first, second, both = (
        student_test(spread, runs, values, equal_spread)
        for values in (figures.candidate, figures.again, together)
    )
    own = (runs >= _MIN_OWN_RUNS) & (count(figures.candidate) >= _MIN_OWN_RUNS)
    learnt = (spread.runs >= MIN_RUNS) | own
    floors = [_floor(e, known) for e, known in zip(figures.evidence, learnt.tolist(), strict=True)]
    floor = np.array(floors, np.float64)
    return _Tests(
        spread=spread,
        learnt=learnt,
        floor=floor,
        needed=runs_needed(spread, runs, floor, alpha),
        first=first,
        second=second,
        both=both,
        worst=_are_worst(figures, both.difference) | np.isnan(second.difference),
        alpha=alpha,
    )


def _are_worst(figures: Figures, difference: Floats) -> Flags:
    """Whether candidate and re-run lie among the worst runs of the baseline.

    A machine with two speeds, of which the slow one lasts for minutes, defeats a test that takes
    runs for normal and independent; it does not defeat this one as long as both were seen before.
    Fewer than `RANKED_RUNS` may not have shown the slow one: a timing then has to double.
    """
    runs = count(figures.baseline).astype(np.float64)
    ranks = np.ones(len(runs))
    for value in np.hstack([figures.candidate, figures.again]).T:
        as_bad = np.count_nonzero(figures.baseline >= value[:, None], axis=1)
        ranks *= np.where(np.isnan(value), 1.0, (1 + as_bad) / (1 + runs))
    worst_of_all = ranks <= (1 + runs) ** -2.0 * (1 + _ROUNDING)
    timing = np.array([e.kind.timing for e in figures.evidence], np.bool_)
    return (ranks <= RANK_ALPHA) | worst_of_all & (~timing | (difference > math.log1p(LOOSE_RATIO)))


def _spread(figures: Figures, alpha: float) -> Spread:
    """Series of the same metric and hardware learn from each other."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i, e in enumerate(figures.evidence):
        groups.setdefault((e.metric, e.hardware), []).append(i)
    mean, sd, df, runs = np.empty((4, len(figures.evidence)))
    for rows in groups.values():
        learnt = learn(figures.baseline[rows], figures.history[rows], alpha)
        mean[rows], sd[rows], df[rows], runs[rows] = learnt.mean, learnt.sd, learnt.df, learnt.runs
    return Spread(mean=mean, sd=sd, df=df, runs=runs)


def _floor(evidence: Evidence, learnt: bool) -> float:
    floor = on_scale(evidence.metric, evidence.smallest_change)
    if learnt:
        return floor
    loose = LOOSE_RATIO
    if evidence.kind.absolute:
        loose = LOOSE_SCORE * abs(float(np.mean(evidence.baseline)))
    return max(floor, on_scale(evidence.metric, loose))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One of the tests, its figures still on the scale of comparison."""

    difference: float
    reach: float
    p: float
    detectable: float
    needed: float
    sd: float
    df: float
    floor: float
    learnt: bool
    flagged: bool
    confirmed: bool
    rerun: bool
    repeated: bool
    regressed: bool
    improved: bool

    @property
    def change(self) -> Change:
        """The verdict: an interval that ends below the floor shows that nothing got worse."""
        if self.regressed:
            return Change.REGRESSED
        if self.improved:
            return Change.IMPROVED
        if self.learnt and self.difference + self.reach < self.floor:
            return Change.NOT_WORSE
        return Change.INCONCLUSIVE


def _rows(tests: _Tests) -> list[_Row]:
    """The tests one by one."""
    both, spread, alpha = tests.both, tests.spread, tests.alpha
    columns = {
        "difference": both.difference,
        "reach": both.reach(1 - alpha),
        "p": both.p_worse,
        "detectable": both.reach(1 - alpha) + both.reach(POWER),
        "needed": tests.needed,
        "sd": spread.sd,
        "df": spread.df,
        "floor": tests.floor,
        "learnt": tests.learnt,
        "flagged": tests.flagged,
        "confirmed": tests.confirmed,
        "rerun": tests.rerun,
        "repeated": tests.repeated,
        "regressed": tests.regressed,
        "improved": tests.mirrored().regressed,
    }
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [_Row(**dict(zip(columns, row, strict=True))) for row in values]


def _comparison(evidence: Evidence, row: _Row) -> Comparison:
    def change(difference: float) -> float | None:
        return None if math.isnan(difference) else from_scale(evidence.metric, difference)

    middle, reach = evidence.sign * row.difference, row.reach
    return Comparison(
        evidence=evidence,
        change=row.change,
        reason=_reason(evidence, row),
        effect=change(middle),
        low=change(middle - reach),
        high=change(middle + reach),
        p=None if math.isnan(row.p) else row.p,
        detectable=change(row.detectable),
        runs_needed=_runs_needed(evidence, row),
        sd=change(row.sd),
        df=row.df,
        tested=row.learnt,
        suspect=row.flagged and not row.rerun,
    )


def _runs_needed(evidence: Evidence, row: _Row) -> int | None:
    if row.change is not Change.INCONCLUSIVE or not math.isfinite(row.needed):
        return None
    return max(int(row.needed), len(evidence.candidate) + len(evidence.again) + 1)


def _reason(evidence: Evidence, row: _Row) -> str:
    floor = change_text(evidence.metric, from_scale(evidence.metric, row.floor)).removeprefix("+")
    if not row.learnt:
        runs = len(evidence.baseline) + len(evidence.history)
        return f"{runs} of the {MIN_RUNS} runs that teach the spread: judged by a fixed {floor}"
    if row.regressed:
        return f"over {floor}, p = {row.p:.1g}" + ", confirmed by a re-run" * row.rerun
    if row.improved:
        check = "" if evidence.kind.equal_spread else ": check that it is still the same task"
        return f"over {floor}, p = {1 - row.p:.1g}{check}"
    if row.change is Change.NOT_WORSE:
        return f"a worsening by {floor} is excluded"
    if row.flagged and not row.confirmed:
        return _why_unconfirmed(evidence, row)
    if row.flagged:
        return f"p = {row.p:.1g} may be chance among so many tests: run it again"
    return f"a worsening by {floor} is not excluded: {_remedy(evidence, row)}"


def _why_unconfirmed(evidence: Evidence, row: _Row) -> str:
    runs = len(evidence.baseline)
    if not row.repeated or runs >= RANKED_RUNS:
        return "a re-run does not confirm it"
    return (
        f"a re-run shows it too, but {runs} earlier runs may not have seen how slow this machine "
        f"gets: it takes {RANKED_RUNS}, or a change that doubles the figure"
    )


def _remedy(evidence: Evidence, row: _Row) -> str:
    needed = _runs_needed(evidence, row)
    if needed is None:
        return f"{len(evidence.baseline)} earlier runs are too few for it: let some more be kept"
    return f"{needed} runs are needed"


def _by_rank(figures: Figures, alpha: float) -> Comparison:
    """Values without bound, like the steps of a training that never gets there, are the worst.

    One run can never reach alpha by its rank against fewer than 99; if it is worse than most, it
    asks for a re-run.
    """
    evidence = figures.evidence[0]
    before, after = (
        values[~np.isnan(values)]
        for values in (figures.baseline[0], np.hstack([figures.candidate[0], figures.again[0]]))
    )
    worse, better = _rank_p(after, before), _rank_p(-after, -before)
    middle, usual = np.median(after), np.median(before)
    difference = 0.0 if middle == usual else float(middle - usual)
    floor = on_scale(evidence.metric, evidence.smallest_change)
    change = Change.INCONCLUSIVE
    if worse <= alpha and difference > floor:
        change = Change.REGRESSED
    elif better <= alpha and -difference > floor:
        change = Change.IMPROVED
    endless = int(np.isposinf(after).sum())
    undecided = change is Change.INCONCLUSIVE
    return Comparison(
        evidence=evidence,
        change=change,
        reason=f"by rank, {endless} of {len(after)} runs without a finite value: p = {worse:.1g}",
        p=worse,
        runs_needed=_ranks_needed(len(before), len(after), alpha) if undecided else None,
        suspect=difference > floor and not evidence.again,
    )


def _rank_p(after: Floats, before: Floats) -> float:
    """One-sided p of Mann and Whitney's test, exact with ties.

    It counts the sets of as many ranks by their sums (Streitberg & Roehmel, 1986).
    """
    values = np.concatenate([after, before])
    larger, equal = values[:, None] > values, values[:, None] == values
    ranks = (2 * larger + equal).sum(axis=1)
    sets = np.zeros((len(after) + 1, ranks.sum() + 1))
    sets[0, 0] = 1
    for rank in ranks:
        sets[1:, rank:] += sets[:-1, :-rank].copy()
    observed = ranks[: len(after)].sum()
    return float(sets[-1, observed:].sum() / sets[-1].sum())


def _ranks_needed(before: int, after: int, alpha: float) -> int:
    """Candidate runs that can reach alpha if they are all worse than all before."""
    more = range(after + 1, after + 1 + math.ceil(1 / alpha))
    return next(runs for runs in more if math.comb(before + runs, runs) * alpha >= 1)
