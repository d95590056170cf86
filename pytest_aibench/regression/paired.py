"""Two sides measured in turns, A B B A A B B A …: what their pairs of sessions show.

Sessions that follow each other find the machine in the same mood, so each pair is compared for
itself, and what drifts cancels as the order turns. The verdicts may be looked at after every pair.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from pytest_aibench.regression.comparison import (
    Change,
    Comparison,
    Evidence,
    change_text,
    from_scale,
    kind_of,
    on_scale,
)
from pytest_aibench.regression.gate import is_gated
from pytest_aibench.regression.student import POWER
from pytest_aibench.regression.verdicts import benjamini_hochberg
from pytest_aibench.results.identity import (
    NEVER_CONFOUND,
    SeriesKey,
    confounders,
    factors,
    invalid_reason,
    series_keys,
)
from pytest_aibench.results.schema import Metric, Run

ALPHA = 0.005
"""Highest chance of a false alarm. Half of the gate's, because no re-run confirms what is found."""

LEAST_PAIRS = 4
"""Fewer decide nothing, whatever they show."""

_EXPECTED_EFFECT = 9.0
"""Variance of the effects looked for, in variances between pairs: it decides after how many pairs
the test is sharpest, not how often it errs."""

_MOST_PAIRS = 10_000
_POWER_ERRORS = NormalDist().inv_cdf(POWER)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedReport:
    """Side B against side A.

    Attributes:
        pairs: Complete pairs of sessions.
        rows: Every figure that gates.
        varied: Declared factors that differ, with their values in A and B.
        confounded: Other factors that differ: no verdict is possible.
        notes: What a reader should know.
    """

    pairs: int
    rows: tuple[Comparison, ...]
    varied: Mapping[str, tuple[str, str]]
    confounded: Mapping[str, tuple[str, str]]
    notes: tuple[str, ...]

    @property
    def decided(self) -> bool:
        """Whether more pairs would change nothing."""
        return not any(row.change is Change.INCONCLUSIVE for row in self.rows)

    def having(self, *changes: Change) -> list[Comparison]:
        """The figures with one of these verdicts."""
        return [row for row in self.rows if row.change in changes]


def compare_sides(
    a: Sequence[Run], b: Sequence[Run], *, vary: Sequence[str], floor: float | None = None
) -> PairedReport:
    """Compare two sides session by session; the k-th of A and the k-th of B are a pair.

    Args:
        a: Sessions of side A, at least one.
        b: Sessions of side B; of the longer side the last ones are left out.
        vary: Factors, or groups of them, in which the sides may differ.
        floor: The smallest change worth an alarm, for figures that are no scores; by default what
            the metric's name implies.
    """
    pairs = min(len(a), len(b))
    figures = list(_figures(a[:pairs], b[:pairs]))
    rows = _rows([figure for figure in figures if any(figure.a)], floor)
    confounded = _confounded(a[:pairs], b[:pairs], vary)
    if confounded:
        rows = [_without_verdict(row, confounded) for row in rows]
    return PairedReport(
        pairs=pairs,
        rows=tuple(rows),
        varied=_varied(a[0], b[0], confounded),
        confounded=confounded,
        notes=tuple(note for figure in figures for note in _notes(figure)),
    )


def compare_pairs(evidence: Sequence[Evidence], alpha: float = ALPHA) -> list[Comparison]:
    """The verdict on each figure; the k-th values of baseline and candidate are a pair.

    May be called after every pair: however often one looks, and whenever one stops, an end of an
    interval is wrong with a chance of at most alpha, and so is a report with any false alarm.

    Each pair gives the difference of its logarithms (of its values, for scores). The test is a
    t-test that is valid at any time: the evidence against "no change" is the likelihood ratio of
    normally distributed effects, free of the unknown spread (Lai, Annals of Statistics 4, 1976;
    Wang & Ramdas, Sequential Analysis 44, 2025). Among many figures a flag must pass Benjamini and
    Hochberg's procedure, which holds for such evidence whatever the figures have in common (Wang &
    Ramdas, JRSS B 84, 2022).
    """
    found = [_differences(e) for e in evidence]
    level = 2 * alpha  # one half for each side
    chances = benjamini_hochberg(np.array([d.p for d in found], np.float64)).tolist()
    return [
        _comparison(e, d, certain=chance <= level, level=level, figures=len(evidence))
        for e, d, chance in zip(evidence, found, chances, strict=True)
    ]


def critical_t(pairs: int, level: float) -> float:
    """The value of Student's t that no change ever exceeds but with a chance of ``level``.

    Over all numbers of pairs together, and on both sides; infinite while there are too few.
    """
    spread = 1 + pairs * _EXPECTED_EFFECT
    bar = (spread / level**2) ** (1 / pairs)
    return math.sqrt((pairs - 1) * (bar - 1) / (1 - bar / spread)) if bar < spread else math.inf


@dataclass(frozen=True, slots=True)
class _Differences:
    """B less A in every pair, on the scale of comparison, larger being worse.

    Attributes:
        pairs: How many.
        mean: Their mean.
        squares: Their squares about it, summed.
    """

    pairs: int
    mean: float
    squares: float

    @property
    def error(self) -> float:
        """Standard error of the mean; without bound for a single pair."""
        return self.sd / math.sqrt(self.pairs)

    @property
    def sd(self) -> float:
        """Standard deviation between pairs."""
        return math.sqrt(self.squares / (self.pairs - 1)) if self.pairs > 1 else math.inf

    @property
    def p(self) -> float:
        """Chance that unchanged sides ever show so much, in either direction."""
        spread, effect = 1 + self.pairs * _EXPECTED_EFFECT, self.pairs * self.mean**2
        if effect == 0:
            return 1.0
        ratio = (self.squares + effect) / (self.squares + effect / spread)
        return min(1.0, math.exp(math.log(spread) / 2 - self.pairs / 2 * math.log(ratio)))

    def reach(self, level: float) -> float:
        """Half the width of the interval; infinite while there are too few pairs."""
        critical = critical_t(self.pairs, level)
        return math.inf if math.isinf(critical) else critical * self.error

    def pairs_needed(self, room: float, level: float) -> int | None:
        """Pairs whose interval reaches no further than ``room``, with a power of 0.8."""
        if math.isinf(self.sd):
            return None

        def enough(pairs: int) -> bool:
            reach = critical_t(pairs, level) + _POWER_ERRORS
            return self.sd == 0 or self.sd * reach <= room * math.sqrt(pairs)

        least = max(self.pairs + 1, LEAST_PAIRS)
        needed = bisect_left(range(_MOST_PAIRS), True, lo=least, key=enough)
        return needed if needed < _MOST_PAIRS else None


def _differences(evidence: Evidence) -> _Differences:
    def scaled(value: float) -> float:
        return evidence.sign * (value if evidence.kind.absolute else math.log(value))

    pairs = zip(evidence.baseline, evidence.candidate, strict=True)
    differences = [scaled(b) - scaled(a) for a, b in pairs]
    mean = math.fsum(differences) / len(differences)
    squares = math.fsum((difference - mean) ** 2 for difference in differences)
    return _Differences(len(differences), mean, squares)


def _comparison(
    evidence: Evidence, found: _Differences, *, certain: bool, level: float, figures: int
) -> Comparison:
    reach = found.reach(level)
    change = _change(evidence, found, reach, certain)
    floor = on_scale(evidence.metric, evidence.smallest_change)
    needed = None
    if change is Change.INCONCLUSIVE:
        # To show what is seen takes its whole size; to exclude the floor, what is left up to it.
        room = max(found.mean, floor, floor - found.mean)
        needed = found.pairs_needed(room, level / figures if found.mean > floor else level)

    def raw(difference: float) -> float | None:
        return from_scale(evidence.metric, difference) if math.isfinite(difference) else None

    middle = evidence.sign * found.mean or 0.0  # never -0.0
    return Comparison(
        evidence=evidence,
        change=change,
        reason=_reason(evidence, found, change, needed),
        effect=raw(middle),
        low=raw(middle - reach),
        high=raw(middle + reach),
        p=found.p,
        detectable=raw(reach + _POWER_ERRORS * found.error),
        runs_needed=needed,
        sd=raw(found.sd / math.sqrt(2)),
        df=found.pairs - 1,
        tested=True,
    )


def _change(evidence: Evidence, found: _Differences, reach: float, certain: bool) -> Change:
    floor = on_scale(evidence.metric, evidence.smallest_change)
    if certain and found.mean > floor:
        return Change.REGRESSED
    if certain and found.mean < -floor:
        return Change.IMPROVED
    return Change.NOT_WORSE if found.mean + reach < floor else Change.INCONCLUSIVE


def _reason(evidence: Evidence, found: _Differences, change: Change, needed: int | None) -> str:
    floor = change_text(evidence.metric, evidence.smallest_change).removeprefix("+")
    if change in (Change.REGRESSED, Change.IMPROVED):
        return f"over {floor}, p = {found.p:.1g}"
    if change is Change.NOT_WORSE:
        return f"a worsening by {floor} is excluded"
    if found.pairs < 2:
        return f"{LEAST_PAIRS} pairs at least are needed"
    pairs = f"about {needed} pairs are needed" if needed else "no number of pairs is enough"
    return f"a worsening by {floor} is neither shown nor excluded: {pairs}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """A figure of one session; ``invalid`` says why it does not count."""

    key: SeriesKey
    metric: Metric
    invalid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    """A figure in all sessions; None where one did not measure it."""

    name: tuple[str, str]
    a: tuple[_Measured | None, ...]
    b: tuple[_Measured | None, ...]

    @property
    def known(self) -> list[_Measured]:
        """Where it was measured."""
        return [measured for measured in (*self.a, *self.b) if measured is not None]

    @property
    def valid(self) -> list[tuple[_Measured, _Measured]]:
        """Pairs in which both sides count."""
        pairs = zip(self.a, self.b, strict=True)
        return [(a, b) for a, b in pairs if a and b and not a.invalid and not b.invalid]


def _figures(a: Sequence[Run], b: Sequence[Run]) -> Iterator[_Figure]:
    measured_a, measured_b = ([_gated(run) for run in runs] for runs in (a, b))
    for name in dict.fromkeys(name for run in (*measured_a, *measured_b) for name in run):
        yield _Figure(
            name=name,
            a=tuple(run.get(name) for run in measured_a),
            b=tuple(run.get(name) for run in measured_b),
        )


def _gated(run: Run) -> dict[tuple[str, str], _Measured]:
    return {
        (key.benchmark, key.metric): _Measured(
            key=key, metric=metric, invalid=invalid_reason(run, entry) or _unfit(key, metric)
        )
        for key, (entry, metric) in series_keys(run).items()
        if entry is not None and is_gated(entry, key.metric)
    }


def _unfit(key: SeriesKey, metric: Metric) -> str:
    """Why a figure has no logarithm."""
    positive = metric.value is not None and metric.value > 0
    return "" if positive or kind_of(key.metric).absolute else "the figure is not above zero"


def _rows(figures: Sequence[_Figure], floor: float | None) -> list[Comparison]:
    evidence = {figure.name: _evidence(figure, floor) for figure in figures}
    obstacles = {figure.name: found for figure in figures if (found := _obstacle(figure))}
    tested = compare_pairs([e for name, e in evidence.items() if name not in obstacles])
    barred = [
        Comparison(evidence=evidence[name], change=change, reason=reason)
        for name, (change, reason) in obstacles.items()
    ]
    return [*barred, *tested]


def _obstacle(figure: _Figure) -> tuple[Change, str] | None:
    """What forbids a verdict on a figure, and which one stands instead."""
    for side, measured in (("A", figure.a), ("B", figure.b)):
        missing = measured.count(None)
        if missing:
            reason = f"not measured in {missing} of {len(measured)} sessions of {side}"
            return Change.INVALID, reason
    hardware = {measured.key.hardware for measured in figure.known}
    if len(hardware) > 1:
        return Change.CONFOUNDED, f"measured on {' and on '.join(sorted(hardware))}"
    if len({measured.key.setup for measured in figure.known}) > 1:
        return Change.CONFOUNDED, "scenario settings, precision, data or effort differ"
    if 2 * len(figure.valid) <= len(figure.a):
        return Change.INVALID, _first_fault(figure)
    return None


def _first_fault(figure: _Figure) -> str:
    return next(measured.invalid for measured in figure.known if measured.invalid)


def _evidence(figure: _Figure, floor: float | None) -> Evidence:
    benchmark, metric = figure.name
    known = figure.known[0]
    return Evidence(
        name=benchmark,
        metric=metric,
        better=known.metric.better,
        baseline=tuple(a.metric.value or 0.0 for a, _ in figure.valid),
        candidate=tuple(b.metric.value or 0.0 for _, b in figure.valid),
        hardware=known.key.hardware,
        floor=None if kind_of(metric).absolute else floor,
        n=min(measured.metric.n for measured in figure.known),
    )


def _notes(figure: _Figure) -> Iterator[str]:
    name = " ".join(figure.name)
    if not any(figure.a):
        yield f"{name}: measured in B only"
        return
    left_out = len(figure.a) - len(figure.valid)
    if left_out and None not in (*figure.a, *figure.b):
        yield f"{name}: {left_out} of {len(figure.a)} pairs left out: {_first_fault(figure)}"


def _confounded(
    a: Sequence[Run], b: Sequence[Run], vary: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """What differs between the sides undeclared, or inside one of them at all."""
    found = confounders(factors(a[0]), factors(b[0]), vary)
    for side, runs in (("A", a), ("B", b)):
        for run in runs[1:]:
            inside = confounders(factors(runs[0]), factors(run), ())
            found |= {f"{name} of {side}": values for name, values in inside.items()}
    return found


def _without_verdict(row: Comparison, confounded: Mapping[str, tuple[str, str]]) -> Comparison:
    differences = ", ".join(f"{name}: {a} → {b}" for name, (a, b) in confounded.items())
    return replace(row, change=Change.CONFOUNDED, reason=f"confounded by {differences}")


def _varied(
    a: Run, b: Run, confounded: Mapping[str, tuple[str, str]]
) -> dict[str, tuple[str, str]]:
    before, after = factors(a), factors(b)
    values = {
        name: (before.get(name, "none"), after.get(name, "none")) for name in {**before, **after}
    }
    return {
        name: pair
        for name, pair in values.items()
        if pair[0] != pair[1]
        and name not in confounded
        and name.partition(".")[0] not in NEVER_CONFOUND
    }
