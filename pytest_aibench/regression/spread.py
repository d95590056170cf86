"""How far runs of unchanged code lie apart, learnt from the earlier runs of many series.

A series is a row of a matrix, its runs stand in columns, oldest first; where it has fewer runs
than the longest one, NaN follows. Values are on a scale on which larger is worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MIN_RUNS = 8
"""Fewest runs that teach a spread: fewer make a gate that cries wolf or sleeps."""

PRIOR_DF = 4
"""Degrees of freedom that the other series of the metric are worth."""

_MIN_SERIES = 5  # fewer have no typical spread
_CLIP = 10.0  # robust standard deviations: a machine with two speeds has no outliers
_MAD_TO_SD = 1.4826
_MEAN_DEVIATION_TO_SD = 1.2533
_MIN_REPLAYS = 100
_TAIL_REPLAYS = 10  # as many must lie in the tail that is judged
_MAX_FALSE_RATE = 1.5  # times the nominal one
_LEAST_P = 1e-300  # of an outage: zero has no normal quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What n series of one metric on one kind of hardware teach.

    Attributes:
        mean: Mean of each baseline, shape (n,).
        sd: Standard deviation between runs, shape (n,); NaN where nothing is known.
        df: Degrees of freedom behind ``sd``, shape (n,).
        runs: Runs that each series had to learn from, shape (n,).
    """

    mean: Floats
    sd: Floats
    df: Floats
    runs: Floats


def as_rows(series: Sequence[Sequence[float]]) -> Floats:
    """A matrix with a row for each sequence, filled up with NaN."""
    lengths = np.fromiter(map(len, series), dtype=np.intp, count=len(series))
    width = int(lengths.max(initial=0))
    rows = np.full((len(series), width), np.nan)
    values = chain.from_iterable(series)
    rows[np.arange(width) < lengths[:, None]] = np.fromiter(values, np.float64, lengths.sum())
    return rows


def row_medians(rows: Floats) -> Floats:
    """Median of each row without its NaNs; NaN for a row that has nothing else."""
    if not rows.shape[1]:
        return np.full(len(rows), np.nan)
    n = count(rows)
    middle = np.stack([(n - 1) // 2, n // 2], axis=1).clip(min=0)
    return _means(np.take_along_axis(np.sort(rows, axis=1), middle, axis=1))


def moments(rows: Floats) -> tuple[Floats, Floats, Floats]:
    """Number of values in each row, their mean (NaN for none), and squares summed about it."""
    n = count(rows)
    mean = np.where(n > 0, np.nansum(rows, axis=1), np.nan) / np.maximum(n, 1)
    return n.astype(np.float64), mean, np.nansum((rows - mean[:, None]) ** 2, axis=1)


def _means(rows: Floats) -> Floats:
    return moments(rows)[1]


def count(rows: Floats) -> npt.NDArray[np.intp]:
    """Number of values in each row."""
    values: npt.NDArray[np.intp] = np.count_nonzero(~np.isnan(rows), axis=1)
    return values


def clipped(rows: Floats) -> Floats:
    """Rows of eight runs and more with outliers drawn in (Hampel, JASA 69, 1974).

    The ordinary standard deviation of the result is meant to be used: the median deviation alone
    underestimates the tails of real series. It is zero where most runs are equal; there the mean
    deviation is used (Iglewicz & Hoaglin, How to detect and handle outliers, 1993).
    """
    centre = row_medians(rows)[:, None]
    deviations = np.abs(rows - centre)
    sd = _MAD_TO_SD * row_medians(deviations)
    sd = np.where(sd > 0, sd, _MEAN_DEVIATION_TO_SD * _means(deviations))
    reach = np.where(count(rows) >= MIN_RUNS, _CLIP * sd, np.inf)[:, None]
    return np.clip(rows, centre - reach, centre + reach)


def learn(baseline: Floats, history: Floats, alpha: float) -> Spread:
    """Spread of each series from its baseline and from older runs at another level.

    Each is moderated by the others: ``(d0 s0² + v s²) / (d0 + v)`` with the median s0 of all
    (Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004, with d0 fixed), then all are widened if the
    rule, replayed on these very runs, raises more false alarms than it should.

    Args:
        baseline: Runs to compare with, shape (n, k).
        history: Runs that only teach the spread, shape (n, m).
        alpha: The one-sided false-alarm rate that the rule should have.
    """
    calm = clipped(baseline)
    n, mean, squares = moments(calm)
    older, _, older_squares = moments(clipped(history))
    df = np.maximum(n - 1, 0) + np.maximum(older - 1, 0)
    prior = _prior_variance(squares + older_squares, df)
    sd, moderated_df = _moderated(squares + older_squares, df, prior)
    widening = _widening(baseline, calm, prior, alpha)
    return Spread(mean=mean, sd=sd * widening, df=moderated_df, runs=n + older)


def _prior_variance(squares: Floats, df: Floats) -> float:
    """Square of the median standard deviation; NaN when too few series have one."""
    known = df > 0
    if np.count_nonzero(known) < _MIN_SERIES:
        return math.nan
    return float(np.median(squares[known] / df[known]))


def _moderated(squares: Floats, df: Floats, prior: float) -> tuple[Floats, Floats]:
    if not math.isnan(prior):
        squares, df = squares + PRIOR_DF * prior, df + PRIOR_DF
    return np.sqrt(np.where(df > 0, squares, np.nan) / np.maximum(df, 1)), df


def _widening(rows: Floats, calm: Floats, prior: float, alpha: float) -> float:
    """By what to multiply the spread so that the rule's false-alarm rate is the nominal one.

    A rate of ``alpha`` is seen only when enough runs can be replayed; with fewer, a tail is judged
    that holds enough of them.
    """
    from scipy.special import ndtri

    p = _replayed(rows, calm, prior)
    if len(p) < _MIN_REPLAYS:
        return 1.0
    tail = max(alpha, _TAIL_REPLAYS / len(p))
    if np.mean(p <= tail) <= _MAX_FALSE_RATE * tail:
        return 1.0
    return float(ndtri(np.quantile(p, tail)) / ndtri(tail))


def _replayed(rows: Floats, calm: Floats, prior: float) -> Floats:
    """One-sided p of every run that has at least eight before it in its series, shape (runs,)."""
    from scipy.special import stdtr

    centre = _means(calm)[:, None]
    values = np.nan_to_num(calm - centre)
    n = np.arange(1, rows.shape[1] + 1, dtype=np.float64)
    mean = values.cumsum(axis=1) / n
    squares = np.maximum((values**2).cumsum(axis=1) - n * mean**2, 0.0)
    sd, df = _moderated(squares, np.broadcast_to(n - 1, squares.shape), prior)
    before, after = np.s_[:, MIN_RUNS - 1 : -1], np.s_[:, MIN_RUNS:]
    se = sd[before] * np.sqrt(1 + 1 / n[MIN_RUNS - 1 : -1])
    step = (rows - centre)[after] - mean[before]
    replayed = ~np.isnan(step) & (se > 0)
    p: Floats = stdtr(df[before][replayed], -step[replayed] / se[replayed])
    return np.maximum(p, _LEAST_P)
