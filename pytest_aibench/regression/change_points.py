"""Where in a series of runs the level changed: what two of three detectors agree on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pytest_aibench.regression.step_detectors import (
    RESOLUTION,
    SHORTEST_RUNS,
    Series,
    between,
    divisive_steps,
    memory,
    partition_steps,
    residuals,
    step_variance,
    weighted_steps,
    without_outliers,
    without_weak,
)

CONFIRMING_RUNS = 8
"""With so many runs after it, a step of three times the noise is mostly seen, of five always."""

AGREEING_RUNS = 5
SHORTEST_LEVEL = 4
"""One less than the partition's, because each end may be a run off; two or three are outliers."""

STANDARD_ERRORS = 5.0
NORMAL_975 = 1.96
MEDIAN_ERROR = 1.2533
"""Standard error of a median over that of a mean, for normal noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """A lasting change of the level of a series.

    Attributes:
        index: The first run on the new level.
        before: Median of the runs since the change before this one.
        after: Median of the runs until the next change.
        ratio: ``after / before``; None where the series is not above zero throughout.
        interval: 95 % interval of the ratio, or None. It does not know that the place was chosen
            for its size: a change that was barely found looks larger than it is.
        worse: Whether the level went away from what is better.
        confirmed: Whether at least 8 measured runs follow.
        votes: The detectors that found it.
    """

    index: int
    before: float
    after: float
    ratio: float | None
    interval: tuple[float, float] | None
    worse: bool
    confirmed: bool
    votes: tuple[str, ...]


def change_points(values: Sequence[float | None], *, better: str = "lower") -> list[ChangePoint]:
    """The changes of level in ``values``, one per run, oldest first.

    A run without a finite value (None, NaN) counts for nothing but keeps its index. Series above
    zero are judged on a log scale, others on their own. One, two or three deviating runs are never
    a change. When runs are added, looking again at the last 200 finds what they change.

    Args:
        values: The figure of each run, in any unit.
        better: ``lower`` or ``higher``.
    """
    given = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    places = np.flatnonzero(np.isfinite(given))
    measured = given[places]
    if len(measured) < 2 * SHORTEST_RUNS:
        return []
    on_log = bool(measured.min() > 0)
    series = without_outliers(np.log(measured) if on_log else measured)
    span = float(np.ptp(series))
    if span <= RESOLUTION * (1.0 if on_log else float(np.abs(measured).max())):
        return []
    series = (series - np.median(series)) / span
    votes = agreed(_opinions(series))
    noise = math.sqrt(step_variance(series) * memory(residuals(series, votes)))
    scale = span * noise if on_log else None
    pieces = between(_convincing(series, list(votes), noise), len(series))
    return [_change_point(measured, places, at, votes[at[1]], better, scale) for at in pieces]


def _change_point(
    measured: Series,
    places: NDArray[np.intp],
    at: tuple[int, int, int],
    votes: tuple[str, ...],
    better: str,
    log_noise: float | None,
) -> ChangePoint:
    start, cut, end = at
    before, after = float(np.median(measured[start:cut])), float(np.median(measured[cut:end]))
    ratio = interval = None
    if log_noise is not None:
        ratio = after / before
        reach = math.exp(NORMAL_975 * MEDIAN_ERROR * log_noise * _mean_error(*at))
        interval = (ratio / reach, ratio * reach)
    return ChangePoint(
        index=int(places[cut]),
        before=before,
        after=after,
        ratio=ratio,
        interval=interval,
        worse=(after > before) == (better == "lower"),
        confirmed=len(measured) - cut >= CONFIRMING_RUNS,
        votes=votes,
    )


def _opinions(series: Series) -> dict[str, list[int]]:
    """The steps each detector sees, the one whose positions are trusted most first.

    The partition costs most, and is not asked where its would be the only vote.
    """
    divisive, weighted = divisive_steps(series), weighted_steps(series)
    partition = partition_steps(series) if divisive or weighted else []
    return {"e-divisive": divisive, "partition": partition, "weighted t": weighted}


def agreed(opinions: Mapping[str, Sequence[int]]) -> dict[int, tuple[str, ...]]:
    """The steps that at least two see within 5 runs, placed by the first, and who sees them.

    A step of one detector counts for at most one of the result.
    """
    free = {name: set(cuts) for name, cuts in opinions.items()}
    votes: dict[int, tuple[str, ...]] = {}
    for name, cuts in opinions.items():
        for cut in [cut for cut in cuts if cut in free[name]]:
            seen = {voter: _nearest(cut, others) for voter, others in free.items()}
            voters = {voter: at for voter, at in seen.items() if at is not None}
            if len(voters) > 1:
                votes[cut] = tuple(voters)
                for voter, at in voters.items():
                    free[voter].remove(at)
    return dict(sorted(votes.items()))


def _nearest(cut: int, others: Iterable[int]) -> int | None:
    near = (other for other in others if abs(other - cut) <= AGREEING_RUNS)
    return min(near, key=lambda other: abs(other - cut), default=None)


def _convincing(series: Series, cuts: list[int], noise: float) -> list[int]:
    """The cuts whose levels last, and differ by at least 5 standard errors.

    Two of the detectors take runs for independent, so on a wandering series they err together.
    """

    def weakness(start: int, cut: int, end: int) -> float:
        if min(cut - start, end - cut) < SHORTEST_LEVEL:
            return math.inf
        difference = series[cut:end].mean() - series[start:cut].mean()
        return STANDARD_ERRORS * noise * _mean_error(start, cut, end) - float(abs(difference))

    return without_weak(cuts, len(series), weakness, limit=0.0)


def _mean_error(start: int, cut: int, end: int) -> float:
    """Standard error of the difference of the means on both sides, for noise of one."""
    return math.sqrt(1 / (cut - start) + 1 / (end - cut))
