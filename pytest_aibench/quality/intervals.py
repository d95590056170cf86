"""Confidence intervals of quality figures: shares of correct answers, means of scores."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_aibench.errors import UserError

_RESAMPLES = 2000


def wilson(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided score interval of a share (Wilson, JASA 22, 1927).

    Raises:
        UserError: There is no observation.
    """
    if n < 1:
        raise UserError("a share of no samples has no interval: give at least 1 sample")
    share = correct / n
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    centre = (correct + z2 / 2) / (n + z2)
    half_width = math.sqrt(z2 * (correct * (1 - share) + z2 / 4)) / (n + z2)
    # At 0 and n the ends are exact only before rounding.
    return max(0.0, min(share, centre - half_width)), min(1.0, max(share, centre + half_width))


def mean_interval(
    scores: npt.NDArray[Any], confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Two-sided bootstrap interval of the mean of per-sample scores, shape (n,).

    Percentiles of resampled means, expanded to the width of Student's t because plain percentiles
    are too narrow in small samples (Hesterberg, The American Statistician 69, 2015).

    Raises:
        UserError: There are fewer than two scores.
    """
    from scipy.stats import norm, t

    n = len(scores)
    if n < 2:
        raise UserError(f"a mean of {n} scores has no interval: give at least 2")
    rng = np.random.default_rng(seed)
    means = [scores[rng.integers(n, size=n)].mean() for _ in range(_RESAMPLES)]
    tail = norm.cdf(math.sqrt(n / (n - 1)) * t.ppf((1 - confidence) / 2, n - 1))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
