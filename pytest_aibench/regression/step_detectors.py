"""Three detectors of steps in the level of a series, and the noise that they see it through.

All take the runs' values without gaps, outliers clipped, in units of the series' span, and return
the indexes at which a new level starts. Each errs in its own way: none knows what the others found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Series = NDArray[np.float64]
Weakness = Callable[[int, int, int], float]

RESOLUTION = 1e-9
"""What is smaller than this share of the span is rounding, not noise."""

WINDOW_RUNS = 50
SHORTEST_RUNS = 5
NEAR_RUNS = 30
CLIP_RUNS = 15
AUTOCORRELATION_LAGS = 5


def divisive_steps(series: Series) -> list[int]:
    """E-divisive (Matteson and James 2014) in half-overlapping windows, judged by Student's t.

    As in Hunter (Fleming et al. 2023): many weak candidates, of which the weakest is removed until
    all that are left convince. The p values are those of places chosen because they look like
    steps, so they have to be far smaller than the false alarms wanted.
    """
    width = min(len(series), WINDOW_RUNS)
    starts = [*range(0, len(series) - width, WINDOW_RUNS // 2), len(series) - width]
    splits = _most_different(sliding_window_view(series, width)[starts])
    windows = zip(starts, splits, strict=True)
    weak = {cut for at, split in windows for cut in _splits(series, at, at + width, split)}
    return without_weak(sorted(weak), len(series), lambda *at: _t_test_p(series, *at), limit=1e-5)


def _splits(
    series: Series, start: int, end: int, split: tuple[int, int] | None = None
) -> list[int]:
    """All cuts of [start:end] that are at least weakly significant; the first may be known."""
    if end - start < 4:
        return []
    before, both = split or _most_different(series[None, start:end])[0]
    cut = start + before
    if _t_test_p(series, start, cut, start + both) > 1e-4:
        return []
    return [*_splits(series, start, cut), cut, *_splits(series, cut, end)]


def _most_different(windows: Series) -> list[tuple[int, int]]:
    """For each row, the ``cut`` and ``until`` where [:cut] differs most from [cut:until].

    By the energy statistic. Both sides have two runs at least: one has no distance within.
    """
    count, n = windows.shape
    sums = np.zeros((count, n + 1, n + 1))
    distances = np.abs(windows[:, :, None] - windows[:, None, :])
    sums[:, 1:, 1:] = distances.cumsum(axis=1).cumsum(axis=2)
    cut, until = np.arange(2, n - 1)[:, None], np.arange(4, n + 1)
    left, right = cut, np.maximum(until - cut, 2)
    before, across = sums[:, cut, cut], sums[:, cut, until]
    across -= before
    after = sums[:, until, until][:, None] - before - 2 * across
    statistic = 2 * across - before * (right / (left - 1)) - after * (left / (right - 1))
    statistic = np.where(until - cut >= 2, statistic / (left + right), -np.inf)
    best = statistic.reshape(count, -1).argmax(axis=1)
    return [(2 + at // (n - 3), 4 + at % (n - 3)) for at in best.tolist()]


def _t_test_p(series: Series, start: int, cut: int, end: int) -> float:
    """Two-sided p of Student's t test between [start:cut] and [cut:end]."""
    from scipy.special import stdtr

    degrees = end - start - 2
    if degrees < 1:
        return 1.0
    before, after = float(series[start:cut].mean()), float(series[cut:end].mean())
    noise = np.concatenate([series[start:cut] - before, series[cut:end] - after])
    variance = float(noise @ noise) / degrees + RESOLUTION**2
    t = (after - before) / math.sqrt(variance * (1 / (cut - start) + 1 / (end - cut)))
    return float(2 * stdtr(degrees, -abs(t)))


def weighted_steps(series: Series) -> list[int]:
    """Perfherder's t: the 12 to 24 runs before against the 12 after, nearer runs weighing more.

    A step is where t is above 5 and no smaller than at both neighbours.
    """
    back, fore = 24, 12
    if len(series) < 2 * fore:
        return []
    at = np.arange(fore, len(series) - fore + 1)
    known = np.minimum(at, back)
    past = sliding_window_view(np.pad(series, (back, 0)), back)[at, ::-1]
    past_weights = np.clip(1 - np.arange(back) / known[:, None], 0, None)
    mean_before, error2_before = _weighted(past, past_weights, known)
    future_weights = 1 - np.arange(fore)[None, :] / fore
    mean_after, error2_after = _weighted(
        sliding_window_view(series, fore)[at], future_weights, np.array(fore)
    )
    t = np.abs(mean_after - mean_before) / np.sqrt(error2_before + error2_after)
    left, right = np.pad(t, (1, 0))[:-1], np.pad(t, (0, 1))[1:]
    return [int(cut) for cut in at[(t > 5) & (t >= left) & (t >= right)]]


def _weighted(values: Series, weights: Series, n: NDArray[np.intp]) -> tuple[Series, Series]:
    """Weighted mean of each row, and its squared error by the unweighted spread around it."""
    mean = (weights * values).sum(axis=1) / weights.sum(axis=1)
    squares = np.where(weights > 0, (values - mean[:, None]) ** 2, 0).sum(axis=1)
    return mean, squares / (n - 1) / n + RESOLUTION**2


def partition_steps(series: Series) -> list[int]:
    """The best piecewise constant fit, fitted again once its residuals show the noise's memory.

    A level costs 6 s^2 ln(n), where s is the long-run spread of the noise.
    """
    penalty = 6 * (step_variance(series) + RESOLUTION**2) * math.log(len(series))
    cuts = best_partition(series, penalty)
    cuts = best_partition(series, penalty * memory(residuals(series, cuts)))
    return without_weak(cuts, len(series), lambda *at: _rank_test_p(series, *at), limit=1e-3)


def _rank_test_p(series: Series, start: int, cut: int, end: int) -> float:
    """Two-sided p of Mann and Whitney's test between [start:cut] and [cut:end]."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(series[start:cut], series[cut:end]).pvalue)


def best_partition(series: Series, penalty: float) -> list[int]:
    """Where the levels start that minimise squared error plus ``penalty`` for each level.

    Exact optimal partitioning (Jackson et al. 2005), every level at least 5 runs long. The sum of
    squares is the same for all partitions, so what each level takes off it is all that counts.
    """
    n = len(series)
    sums = np.concatenate([[0.0], series.cumsum()])
    runs = np.arange(n + 1.0)
    cost = np.full(n + 1, np.inf)
    cost[0] = 0.0
    start_of = np.zeros(n + 1, dtype=np.intp)
    for end in range(SHORTEST_RUNS, n + 1):
        last = end - SHORTEST_RUNS + 1
        level = (sums[end] - sums[:last]) ** 2 / runs[end : SHORTEST_RUNS - 1 : -1]
        total = cost[:last] - level
        start_of[end] = total.argmin()
        cost[end] = total[start_of[end]] + penalty
    return _traced(start_of)


def _traced(start_of: NDArray[np.intp]) -> list[int]:
    cuts: list[int] = []
    end = len(start_of) - 1
    while end := int(start_of[end]):
        cuts.insert(0, end)
    return cuts


def without_outliers(series: Series) -> Series:
    """Values moved to within 4 standard deviations of the median of the 15 runs around them."""
    half, most = CLIP_RUNS // 2, 4.0
    around = sliding_window_view(np.pad(series, half, mode="symmetric"), CLIP_RUNS)
    middle = np.median(around, axis=1)
    spread = np.median(np.abs(around - middle[:, None]), axis=1) / 0.6745
    reach = most * np.maximum(spread, math.sqrt(step_variance(series)))
    return np.clip(series, middle - reach, middle + reach)


def residuals(series: Series, cuts: Iterable[int]) -> Series:
    """What is left of the series when the mean of each piece is taken off."""
    return np.concatenate([piece - piece.mean() for piece in np.split(series, [*cuts])])


def step_variance(series: Series) -> float:
    """Variance of the noise by the differences of successive runs, which few steps disturb.

    The larger of what their median and their smallest three quarters say: ties make the first zero.
    """
    differences = np.sort(np.abs(np.diff(series)))
    kept = differences[: math.ceil(0.75 * len(differences))]
    by_median = (np.median(differences) / 0.6745) ** 2
    # The smallest three quarters of a normal sample have 0.3684 of its variance.
    return float(max(by_median, np.mean(kept**2) / 0.3684) / 2)


def memory(noise: Series) -> float:
    """Long-run variance of the noise over that by differences of successive runs.

    Bartlett's weights up to the first lag that is within chance; differences miss the share that
    two successive runs have in common.
    """
    power = float(noise @ noise)
    if power <= len(noise) * RESOLUTION**2:
        return 1.0
    total, first = 1.0, 0.0
    for lag in range(1, AUTOCORRELATION_LAGS + 1):
        shared = float(noise[lag:] @ noise[:-lag]) / power
        if shared < 2 / math.sqrt(len(noise)):
            break
        first = first or shared
        total += 2 * (1 - lag / (AUTOCORRELATION_LAGS + 1)) * shared
    return total / (1 - first)


def without_weak(cuts: list[int], n: int, weakness: Weakness, limit: float) -> list[int]:
    """Remove the weakest cut until none is weaker than ``limit``.

    ``weakness(start, cut, end)`` judges a cut by the piece before and the piece after, and of
    those by the nearest 30 runs: by all of them a slow drift would prove any cut right.
    """
    judge = cache(weakness)
    cuts = list(cuts)
    while cuts:
        near = [
            (max(start, cut - NEAR_RUNS), cut, min(end, cut + NEAR_RUNS))
            for start, cut, end in between(cuts, n)
        ]
        weakest = max(range(len(cuts)), key=lambda place: judge(*near[place]))
        if judge(*near[weakest]) <= limit:
            break
        del cuts[weakest]
    return cuts


def between(cuts: list[int], n: int) -> list[tuple[int, int, int]]:
    """For each cut: where the piece before it starts, the cut, where the piece after it ends."""
    edges = [0, *cuts, n]
    return list(zip(edges, cuts, edges[2:], strict=False))
