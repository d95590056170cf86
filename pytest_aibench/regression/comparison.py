"""One figure of a candidate against the same figure of earlier runs: evidence and verdict."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from pytest_aibench.errors import UserError

ALPHA = 0.01
"""Highest chance of a false flag of one figure, and of an error at one end of an interval."""

_LARGEST_LOG = 700.0  # of a finite ratio


class Change(str, Enum):
    """What a comparison says."""

    REGRESSED = "regressed"
    IMPROVED = "improved"
    NOT_WORSE = "not worse"
    INCONCLUSIVE = "inconclusive"
    CONFOUNDED = "confounded"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Kind:
    """What follows from a metric's name.

    Attributes:
        floor: The smallest change worth an alarm, as a share of the baseline.
        absolute: Shares of right answers and scores: changes are differences, not ratios.
        timing: A slow machine moves it together with all other timings.
        counted: It moves in whole steps.
        equal_spread: A change leaves the spread between runs alone.
    """

    floor: float
    absolute: bool = False
    timing: bool = False
    counted: bool = False
    equal_spread: bool = True


_KINDS = (
    (r"(steps|epochs)_to_", Kind(0.05, counted=True, equal_spread=False)),
    (r"_to_quality", Kind(0.05, equal_spread=False)),
    (r"^(time_ratio|convergence_factor)$", Kind(0.02)),
    (r"energy|(^|_)j(_|$)", Kind(0.03)),
    (r"_([kmg]i)?(b|bytes)$", Kind(0.01)),
    (r"p99\d*_", Kind(0.05, timing=True)),
    (r"_(ns|us|ms|s|qps|streams)$|(^|_)s_per_", Kind(0.02, timing=True)),
)
_SCORE = Kind(0.002, absolute=True)

SHIFT = "time_ratio"
"""The metric of a whole suite: how many times as long everything took."""


@lru_cache(maxsize=1024)
def kind_of(metric: str) -> Kind:
    """The kind of a metric by its name, which carries the unit; without a unit it is a score."""
    return next((kind for pattern, kind in _KINDS if re.search(pattern, metric)), _SCORE)


@lru_cache(maxsize=4096)
def observations_missing(metric: str, n: int) -> int:
    """How many more latencies a percentile needs until ten lie beyond it; 0 for other metrics."""
    percentile = re.search(r"(?:^|_)p(\d{2,})(?:_|$)", metric)
    if percentile is None:
        return 0
    scale = int(10 ** len(percentile[1]))
    needed = math.ceil(10 * scale / (scale - int(percentile[1])))
    return max(0, needed - n)


def on_scale(metric: str, change: float) -> float:
    """A worsening on the scale of comparison: the logarithm of its ratio, or itself for a score."""
    return change if kind_of(metric).absolute else math.log1p(change)


def from_scale(metric: str, difference: float) -> float:
    """The inverse of `on_scale`."""
    return difference if kind_of(metric).absolute else math.expm1(min(difference, _LARGEST_LOG))


_LEAST_SHOWN = 0.00005


def change_text(metric: str, change: float) -> str:
    """A change as people read it: ``+5.1 %``, ``x12`` where it is huge, ``-0.0050`` for a score."""
    if kind_of(metric).absolute:
        return f"{change:+.4f}" if abs(change) >= _LEAST_SHOWN else "±0"
    return f"{change:+.1%}".replace("%", " %") if change < 9 else f"x{1 + change:.3g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The figures of one metric of one benchmark: one value per run, a run being one session.

    A run that never reached its target has ``math.inf`` steps.

    Attributes:
        name: The benchmark.
        metric: The metric; its unit in its name says what kind it is.
        better: ``higher`` or ``lower``.
        baseline: Runs to compare with, oldest first.
        candidate: Runs under test.
        again: Runs made to confirm what the candidate showed.
        history: Valid runs at an earlier level, oldest first: they only teach the spread.
        sessions: The session of each baseline run; empty where it is not known.
        hardware: Class of hardware: series of the same one teach each other.
        floor: The smallest change worth an alarm, as a share of the baseline, for scores in their
            own unit; by default what the metric's name implies.
        resolution: The step in which the figure moves, in the unit of ``floor``.
        n: Observations behind the candidate's figure; None where there is no such number.
    """

    name: str
    metric: str
    better: str
    baseline: tuple[float, ...]
    candidate: tuple[float, ...]
    again: tuple[float, ...] = ()
    history: tuple[float, ...] = ()
    sessions: tuple[str, ...] = ()
    hardware: str = ""
    floor: float | None = None
    resolution: float = 0.0
    n: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            UserError: An unknown direction, or sessions that are not those of the baseline.
        """
        if self.better not in ("higher", "lower"):
            raise UserError(f"better={self.better!r} of {self.metric}: use 'higher' or 'lower'")
        if self.sessions and len(self.sessions) != len(self.baseline):
            raise UserError(
                f"{len(self.sessions)} sessions for {len(self.baseline)} baseline runs of "
                f"{self.name}: give one session for each run"
            )

    @property
    def kind(self) -> Kind:
        """What follows from the metric's name."""
        return kind_of(self.metric)

    @property
    def sign(self) -> int:
        """1 where larger is worse, else -1."""
        return 1 if self.better == "lower" else -1

    @property
    def smallest_change(self) -> float:
        """The floor, but at least two steps of the figure."""
        floor = self.kind.floor if self.floor is None else self.floor
        return max(floor, 2 * self.resolution, 2 * self._step)

    @property
    def _step(self) -> float:
        """In what a score of n samples moves, and a number of steps; 0 for other figures."""
        if self.kind.absolute and self.n:
            return 1 / self.n
        return 1 / max(1.0, min(self.baseline)) if self.kind.counted and self.baseline else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What became of one metric of one benchmark.

    Changes are shares of the baseline (0.05: five percent more), those of scores differences.
    They are what remains after the shift of the whole suite, where one was removed.

    Attributes:
        change: The verdict.
        reason: What it rests on, in a line.
        effect: Change of the mean; None where it has no number.
        low: Lower end of its interval; each end has the confidence 1 - alpha.
        high: Upper end.
        p: Chance of a figure at least as bad from unchanged code.
        detectable: The smallest worsening that as many runs detect with a power of 0.8.
        runs_needed: Candidate runs after which a worsening by the floor would be detected; None
            where the verdict is out, or no number is enough.
        sd: Spread between runs of the same code, as a change.
        df: Degrees of freedom behind it.
        tested: Its spread is known, and it shares the chance of false alarms with all that are.
        accepted: It is not worse than a level that was accepted.
        suspect: It looks like a regression that no re-run has confirmed or refuted yet.
    """

    evidence: Evidence
    change: Change
    reason: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    detectable: float | None = None
    runs_needed: int | None = None
    sd: float | None = None
    df: float | None = None
    tested: bool = False
    suspect: bool = False
    accepted: bool = False

    @property
    def text(self) -> str:
        """The change with its interval, like ``+5.1 % [+2.0 %, +8.3 %]``."""
        if self.effect is None:
            return "-"
        metric = self.evidence.metric
        effect = change_text(metric, self.effect)
        if self.low is None or self.high is None:
            return effect
        return f"{effect} [{change_text(metric, self.low)}, {change_text(metric, self.high)}]"

    def power(self, worsening: float, alpha: float = ALPHA) -> float | None:
        """Chance that runs as many as the candidate's flag a true worsening, given as a change.

        None where the spread is not known. A re-run that must confirm the flag squares it.
        """
        from pytest_aibench.regression.student import detection_power

        if self.sd is None or self.df is None:
            return None
        metric = self.evidence.metric
        return detection_power(
            on_scale(metric, worsening),
            floor=on_scale(metric, self.evidence.smallest_change),
            sd=on_scale(metric, self.sd),
            df=self.df,
            runs=(len(self.evidence.baseline), len(self.evidence.candidate)),
            alpha=alpha,
        )
