"""Which earlier runs a figure is compared with, and why others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import isfinite
from statistics import median

from pytest_aibench.regression.acceptance import Acceptance, is_before, latest
from pytest_aibench.regression.ancestry import Ancestry
from pytest_aibench.regression.change_points import change_points
from pytest_aibench.regression.comparison import kind_of
from pytest_aibench.results.identity import DEFAULT_VARY, SeriesKey, confounders
from pytest_aibench.results.index import Point

MOST_RUNS = 30
"""Of a longer segment only the newest count: machines age."""

MOST_LOOKED_AT = 2 * MOST_RUNS
"""Runs among which the last change of level is sought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which runs may be a baseline.

    Attributes:
        ancestry: The commits whose runs count.
        vary: Factors in which the candidate may differ from its baseline.
        allow_confounded: Compare also where other factors differ.
        acceptances: Intended changes.
        only: Ids of the runs that are the baseline, wherever they stand; None for the rules above.
        source: What the baselines are, in words, like ``main at 1a2b3c4``.
    """

    ancestry: Ancestry = field(default_factory=Ancestry)
    vary: tuple[str, ...] = DEFAULT_VARY
    allow_confounded: bool = False
    acceptances: tuple[Acceptance, ...] = ()
    only: frozenset[str] | None = None
    source: str = "all earlier runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The runs that a figure is compared with.

    Attributes:
        points: One of each session, oldest first.
        spread: Values of earlier levels, brought to the newest one: they tell the spread only.
        confounded: What else differs, where that is why there are no points.
        left_out: Runs that are no baseline: number by reason.
        accepted: The run at which a change was accepted that the points, or some, are older than.
        acceptance: That change.
    """

    points: tuple[Point, ...] = ()
    spread: tuple[float, ...] = ()
    confounded: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    accepted: Point | None = None
    acceptance: Acceptance | None = None

    @property
    def values(self) -> tuple[float, ...]:
        """The figures compared with."""
        return tuple(point.value for point in self.points)


Differing = Callable[[Point], Mapping[str, tuple[str, str]]]
"""What of a run differs from the candidate, though nobody declared that it may."""


def differing_from(candidate: Mapping[str, str], policy: Policy) -> Differing:
    """Compares runs with a candidate by its factors, each run once though it is in many series."""
    found: dict[str, Mapping[str, tuple[str, str]]] = {}

    def differing(point: Point) -> Mapping[str, tuple[str, str]]:
        if policy.allow_confounded:
            return {}
        if point.run_id not in found:
            found[point.run_id] = confounders(point.factors, candidate, policy.vary)
        return found[point.run_id]

    return differing


def choose(
    key: SeriesKey, points: Sequence[Point], differing: Differing, policy: Policy
) -> Baseline:
    """Choose the newest runs of a series that the change under test can be held against.

    They are valid, committed, on its way from the first commit, alike in all that was not declared
    to vary, and at the newest level.

    Args:
        key: The series.
        points: Its earlier runs, oldest first, without the candidate.
        differing: Compares runs with the candidate.
        policy: Which runs may be a baseline.
    """
    if policy.only is not None:
        return _named(key, points, differing, policy.only)
    reasons = [(point, _unfit(point, policy)) for point in points]
    fit = _one_per_session(point for point, reason in reasons if not reason)
    left_out = Counter(reason for _, reason in reasons if reason)
    alike = [point for point in fit if not differing(point)]
    if fit and not alike:
        return Baseline(confounded=differing(fit[-1]), left_out=left_out)
    left_out.update({"another environment": len(fit) - len(alike)} if len(fit) > len(alike) else {})
    *earlier, newest = _levels(alike[-MOST_LOOKED_AT:])
    acceptance = latest(policy.acceptances, key)
    return Baseline(
        points=tuple(newest[-MOST_RUNS:]),
        spread=_spread(key, earlier, newest),
        left_out=left_out,
        accepted=_accepted(points, newest, acceptance),
        acceptance=acceptance,
    )


def at_accepted_level(key: SeriesKey, baseline: Baseline) -> Baseline | None:
    """The accepted run as the baseline, all others telling the spread; None without one."""
    if baseline.accepted is None:
        return None
    spread = _spread(key, [baseline.points], [baseline.accepted])
    return replace(baseline, points=(baseline.accepted,), spread=spread, accepted=None)


def _named(
    key: SeriesKey, points: Sequence[Point], differing: Differing, only: Collection[str]
) -> Baseline:
    """The runs that were named; all other valid ones tell the spread."""
    valid = [point for point in points if not point.invalid and isfinite(point.value)]
    named = _one_per_session(point for point in valid if point.run_id in only)
    confounded = {name: pair for point in named for name, pair in differing(point).items()}
    if confounded:
        return Baseline(confounded=confounded)
    others = _one_per_session(point for point in valid if point.run_id not in only)
    return Baseline(points=tuple(named), spread=_spread(key, _levels(others), named))


def _unfit(point: Point, policy: Policy) -> str:
    if point.invalid:
        return "invalid"
    if not isfinite(point.value):
        return "not measured"
    if point.dirty:
        return "uncommitted changes"
    return "" if policy.ancestry.holds(point.commit) else "on other branches"


def _one_per_session(points: Iterable[Point]) -> list[Point]:
    """The last point of each session: shards and repetitions of one are not independent."""
    return list({point.session: point for point in points}.values())


def _levels(points: Sequence[Point]) -> list[list[Point]]:
    """The points parted where their level changed for good; the last of them may be empty."""
    values = [point.value for point in points]
    starts = [change.index for change in change_points(values) if change.confirmed]
    return [list(points[start:end]) for start, end in pairwise([0, *starts, len(points)])]


def _accepted(
    points: Sequence[Point], newest: Sequence[Point], acceptance: Acceptance | None
) -> Point | None:
    """The accepted run, unless the newest level began after it: that one was judged by itself."""
    if acceptance is None or not any(is_before(p.started_at, acceptance) for p in newest):
        return None
    return next((point for point in points if point.run_id == acceptance.run_id), None)


def _spread(
    key: SeriesKey, levels: Sequence[Sequence[Point]], to: Sequence[Point]
) -> tuple[float, ...]:
    """The newest values of other levels as they might have been at this one."""
    moved = [value for level in levels for value in _moved(level, to, key.metric)]
    return tuple(moved[-MOST_RUNS:])


def _moved(level: Sequence[Point], to: Sequence[Point], metric: str) -> list[float]:
    old, new = (median(p.value for p in points) if points else 1.0 for points in (level, to))
    if kind_of(metric).absolute:
        return [point.value - old + new for point in level]
    return [point.value * new / old for point in level] if old > 0 else []
