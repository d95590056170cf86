"""Where a rising share crosses a level: a logistic fit over replications, with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_MOST_STEPS = 60
_LARGEST_LOGIT = 30.0
_LEAST_FREE = 0.1

# Of clusters of hits that grow with the load; found on simulated queues.
_VARIANCE_POWER = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Where the share of hits crosses the level.

    Attributes:
        load: The crossing.
        low: Lower end of its interval; 0 while the share is not certain to rise with the load.
        high: Upper end; infinite likewise.
        slope: Rise of the log-odds of the share per unit of log load.
    """

    load: float
    low: float
    high: float
    slope: float


def fit_crossing(
    loads: Sequence[float],
    hits: Sequence[int],
    trials: Sequence[int],
    level: float,
    confidence: float,
) -> Crossing:
    """Fit the log-odds of a hit as linear in the log load, and find where the share is ``level``.

    Replications are independent, trials within one are not: the spread of whole replications
    around the fit, not the binomial one, sets the interval. It is estimated twice, and the larger
    counts: as one dispersion (quasi-likelihood: McCullagh & Nelder, Generalized Linear Models, 2nd
    ed., section 4.5) and by each replication's own residual (HC3: MacKinnon & White, Journal of
    Econometrics 29, 1985), because hits come in clusters that are rare at low loads and large at
    high ones. The ends are those of a ratio (Fieller, JRSS B 16, 1954).

    Args:
        loads: Load of each replication, positive; at least 3, not all equal.
        hits: Hits of each.
        trials: Trials of each.
        level: The share looked for, between 0 and 1.
        confidence: Confidence of the two-sided interval.
    """
    from scipy.special import logit
    from scipy.stats import t as student

    centre = float(np.exp(np.mean(np.log(loads))))
    x = np.log(np.asarray(loads, np.float64) / centre)
    # One more trial per replication, that hits with the level's probability, keeps the fit finite
    # where all trials below a load miss and all above it hit.
    n, y = np.asarray(trials) + 1.0, np.asarray(hits) + level
    line, covariance = _fit(x, y, n, level)
    # The log of an average is low on average, by half its variance to second order.
    line[0] += covariance[0, 0] / 2 - float(logit(level))
    quantile = float(student.ppf((1 + confidence) / 2, len(x) - 2))
    root, low, high = _root(line, covariance * quantile**2, (x.min(), x.max()))
    return Crossing(
        load=centre * _exp(root), low=centre * _exp(low), high=centre * _exp(high), slope=line[1]
    )


def _fit(x: Floats, y: Floats, n: Floats, level: float) -> tuple[Floats, Floats]:
    """Intercept and slope of the log-odds, and their covariance by the spread of replications."""
    # Where the share jumps there is no replication that shows how hits cluster.
    jumps = np.all(np.minimum(y, n - y) <= level * n)
    fit = _fit_logistic(x, y, n, 1.0 if jumps else _VARIANCE_POWER)
    freedom = len(x) / (len(x) - 2)
    if jumps:
        spread = freedom * np.mean(fit.residuals**2) / np.mean(fit.variance)
        return fit.line, fit.inverse * max(1.0, spread)
    # The trial added to each is all that is left where a share is 0 or 1.
    spread = freedom * np.mean(fit.residuals**2 / (fit.variance + 1))
    return fit.line, _larger(fit.inverse * max(1.0, spread), fit.covariance_by_residual)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """A line with what its covariance is made of; ``sensitivity``: of hits, to the log-odds."""

    line: Floats
    design: Floats
    inverse: Floats
    residuals: Floats
    variance: Floats
    sensitivity: Floats

    @property
    def covariance_by_residual(self) -> Floats:
        """The covariance where each replication has a variance of its own (HC3)."""
        weights = self.sensitivity**2 / self.variance
        leverage = weights * np.sum(self.design @ self.inverse * self.design, axis=1)
        # A replication that alone sets the line has no residual to judge it by.
        own = weights * self.residuals / self.sensitivity / np.maximum(1 - leverage, _LEAST_FREE)
        scores = self.design * own[:, None]
        return np.asarray(self.inverse @ scores.T @ scores @ self.inverse)


def _fit_logistic(x: Floats, y: Floats, n: Floats, power: float) -> _Fit:
    """By iteratively reweighted least squares; a variance to that power of the binomial one."""
    from scipy.special import expit, logit

    design = np.stack([np.ones_like(x), x], axis=1)
    logits = logit((y + 0.5) / (n + 1))
    for _ in range(_MOST_STEPS):
        share = expit(logits)
        sensitivity = n * share * (1 - share)
        variance = n * (share * (1 - share)) ** power
        weights = sensitivity**2 / variance
        inverse = np.linalg.inv(design.T @ (weights[:, None] * design))
        line = inverse @ design.T @ (weights * logits + (y - n * share) * sensitivity / variance)
        fitted = np.clip(design @ line, -_LARGEST_LOGIT, _LARGEST_LOGIT)
        if np.allclose(logits, fitted, rtol=0, atol=1e-6):
            break
        # Whole steps run away where almost all shares are 0 or 1.
        logits = (logits + fitted) / 2
    return _Fit(
        line=line,
        design=design,
        inverse=inverse,
        residuals=y - n * share,
        variance=variance,
        sensitivity=sensitivity,
    )


def _larger(covariance: Floats, other: Floats) -> Floats:
    """The covariance, scaled up until no variance is below the other's."""
    return covariance * max(1.0, float(np.max(np.diag(other) / np.diag(covariance))))


def _root(
    line: Floats, scaled: Floats, observed: tuple[float, float]
) -> tuple[float, float, float]:
    """Root of a line with its Fieller interval, from its covariance times the squared quantile.

    With an uncertain slope the interval is everything, and the root is kept among the observed.
    """
    a, b = line
    square, middle, constant = b * b - scaled[1, 1], a * b - scaled[0, 1], a * a - scaled[0, 0]
    if b <= 0 or square <= 0:
        inside = np.clip(-a / b, *observed) if b > 0 else np.mean(observed)
        return float(inside), -math.inf, math.inf
    half = math.sqrt(max(middle * middle - square * constant, 0.0))
    return -a / b, (-middle - half) / square, (-middle + half) / square


def _exp(x: float) -> float:
    """The exponential, in a range that a step of the search can start from, or 0 or infinity."""
    return math.exp(x if math.isinf(x) else min(max(x, -_LARGEST_LOGIT), _LARGEST_LOGIT))
