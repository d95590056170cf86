"""Student's t-tests of many series at once, with a spread learnt from earlier runs.

All figures are on a scale on which larger is worse; regression.comparison says which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_aibench.regression.spread import Floats, Spread, moments

Runs = npt.NDArray[np.intp]

POWER = 0.8
"""Chance with which the smallest detectable change is detected."""

_QUANTILES = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentTest:
    """t-tests of many differences at once, on a scale on which larger is worse.

    Attributes:
        difference: Candidate minus baseline, shape (n,).
        se: Standard error of each, shape (n,); NaN where nothing is known of it.
        df: Degrees of freedom, shape (n,).
    """

    difference: Floats
    se: Floats
    df: Floats

    @property
    def p_worse(self) -> Floats:
        """Chance of so large a difference, or a larger one, if there is none; NaN likewise."""
        from scipy.special import stdtr

        # Runs that are all alike leave no error: any difference is certain.
        t = np.where(self.difference == 0, 0.0, np.copysign(np.inf, self.difference))
        np.divide(self.difference, self.se, out=t, where=self.se != 0)
        return np.asarray(stdtr(self.df, -t), np.float64)

    def mirrored(self) -> StudentTest:
        """The same with better and worse exchanged."""
        return StudentTest(difference=-self.difference, se=self.se, df=self.df)

    def reach(self, chance: float) -> Floats:
        """Quantile of the difference's error."""
        return self.se * _quantile(self.df, chance)


def _quantile(df: Floats, chance: float) -> Floats:
    from scipy.special import stdtrit

    return np.asarray(stdtrit(df, chance), np.float64)


def student_test(
    spread: Spread, baseline_runs: Runs, candidate: Floats, equal_spread: npt.NDArray[np.bool_]
) -> StudentTest:
    """Compare candidates, shape (n, runs), with baselines of a learnt spread.

    The candidate's runs add to what is known of the spread: ``s² = (v s_h² + SS_B) / (v + R - 1)``.
    Where a change may alter the spread too, three runs and more stand for themselves (Welch,
    Biometrika 34, 1947).
    """
    runs, mean, squares = moments(candidate)
    own_df, known = np.maximum(runs - 1, 0), np.nan_to_num(spread.df * spread.sd**2)
    df = spread.df + own_df
    pooled = np.where(df > 0, known + squares, np.nan) / np.maximum(df, 1)
    learnt, own = spread.sd**2 / baseline_runs, squares / np.maximum(own_df * runs, 1)
    welch = ~equal_spread & (runs >= 3) & (learnt + own > 0)
    error = np.where(welch, learnt + own, pooled * (1 / baseline_runs + 1 / np.maximum(runs, 1)))
    parts = learnt**2 / np.maximum(spread.df, 1) + own**2 / np.maximum(own_df, 1)
    df = np.divide((learnt + own) ** 2, parts, out=df, where=welch)
    return StudentTest(difference=mean - spread.mean, se=np.sqrt(error), df=df)


def runs_needed(spread: Spread, baseline_runs: Runs, floor: Floats, alpha: float) -> Floats:
    """Candidate runs that detect a worsening by the floor; infinite where no number does.

    It solves ``floor = (t_{1-alpha} + t_{power}) sd sqrt(1/R_A + 1/R)`` for R.
    """
    reach = spread.sd * (_quantile(spread.df, 1 - alpha) + _quantile(spread.df, POWER))
    room = np.divide(floor, reach, out=np.full_like(floor, np.inf), where=reach != 0) ** 2
    room -= 1 / np.maximum(baseline_runs, 1)
    runs = np.ceil(np.divide(1, room, out=np.full_like(room, np.inf), where=room > 0))
    return np.asarray(np.maximum(runs, 1), np.float64)


def detection_power(
    worsening: float, *, floor: float, sd: float, df: float, runs: tuple[int, int], alpha: float
) -> float:
    """Chance that runs of a candidate flag a worsening: p up to alpha, difference above the floor.

    The learnt spread errs like a chi-squared variable; the chance is the mean over its quantiles.
    A flag that a re-run of as many runs must confirm has this chance squared.

    Args:
        worsening: The true difference, on the scale of comparison.
        floor: The smallest difference worth a flag.
        sd: Spread between runs.
        df: Degrees of freedom behind it.
        runs: Runs of the baseline and of the candidate.
        alpha: The highest p that is flagged.
    """
    from scipy.special import chdtri, ndtr

    se = sd * math.sqrt(sum(1 / n for n in runs))
    if se == 0:
        return float(worsening > floor)
    learnt = se * np.sqrt(chdtri(df, (np.arange(_QUANTILES) + 0.5) / _QUANTILES) / df)
    least = np.maximum(_quantile(np.array(df), 1 - alpha) * learnt, floor)
    return float(np.mean(ndtr((worsening - least) / se)))
