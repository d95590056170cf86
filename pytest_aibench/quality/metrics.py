"""Quality metrics by name: a score for every sample, and one figure with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from pytest_aibench.bounds import CONFIDENCE, Estimate
from pytest_aibench.errors import UserError
from pytest_aibench.units import RATIO

Better = Literal["higher", "lower"]
Scores = npt.NDArray[np.float64]


class QualityMetric(Protocol):
    """What a quality metric offers."""

    @property
    def name(self) -> str:
        """What bounds and records call it."""

    @property
    def better(self) -> Better:
        """Which direction is an improvement."""

    @property
    def unit(self) -> str:
        """Base unit of the figure; empty for a ratio."""

    def scores(self, outputs: Sequence[Any], references: npt.NDArray[Any]) -> Scores:
        """Score each sample, shape (n_samples,); NaN where an output cannot be scored.

        They are kept for each sample, so that two models can be compared pairwise.
        """

    def estimate(self, scores: Scores) -> Estimate:
        """The figure over all samples; without a value when it could not be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopK:
    """Share of samples whose class is among the ``k`` highest scores; the interval is Wilson's.

    An output is a class index, or a vector with one score per class. Ties count against the
    model: a class is in the top k only when fewer than k other classes score as high or higher.
    So a model that gives all classes the same score is never right, whatever ``argmax`` says.
    """

    name: str
    k: int
    better: Better = "higher"
    unit: str = RATIO

    def scores(self, outputs: Sequence[Any], references: npt.NDArray[Any]) -> Scores:
        """Score each sample 1 when right, 0 when wrong, NaN when the output holds a NaN.

        Raises:
            UserError: Outputs and references differ in number, or an output is neither a class
                index nor a vector that has a score for its class and more than k classes.
        """
        if len(outputs) != len(references):
            raise UserError(
                f"{self.name}: {len(outputs)} outputs for {len(references)} references: "
                "return one output for each sample"
            )
        pairs = enumerate(zip(outputs, references, strict=True))
        return np.array([self._hit(*pair, sample) for sample, pair in pairs], dtype=np.float64)

    def estimate(self, scores: Scores) -> Estimate:
        """Share of right answers, with a two-sided interval of two 99 % sides.

        Quality targets are judged by the value, as MLPerf does.
        """
        missing = np.flatnonzero(np.isnan(scores))
        if len(scores) == 0 or len(missing) > 0:
            why = (
                f"{len(missing)} of {len(scores)} outputs are not numbers, "
                f"the first is that of sample {missing[0]}"
                if len(missing)
                else "no sample was scored"
            )
            return Estimate(value=None, unit=self.unit, n=len(scores), by_value=True, why_open=why)
        correct = int(scores.sum())
        low, high = wilson(correct, len(scores), 2 * CONFIDENCE - 1)
        return Estimate(
            value=correct / len(scores),
            low=low,
            high=high,
            unit=self.unit,
            n=len(scores),
            by_value=True,
        )

    def _hit(self, output: Any, reference: int, sample: int) -> float:
        answer = self._as_array(output, sample)
        if np.isnan(answer).any():
            return np.nan
        if answer.ndim == 0:
            return float(answer == reference)
        if not 0 <= reference < len(answer) or len(answer) <= self.k:
            raise UserError(
                f"{self.name}: sample {sample} of class {reference} got {len(answer)} scores: "
                f"return a score for every class, of more than {self.k} classes"
            )
        as_high = np.count_nonzero(answer >= answer[reference])
        return float(as_high <= self.k)

    def _as_array(self, output: Any, sample: int) -> npt.NDArray[np.float64]:
        try:
            answer = np.asarray(output, dtype=np.float64)
        except (TypeError, ValueError):
            answer = None
        if answer is None or answer.ndim > 1:
            raise UserError(
                f"{self.name}: the output of sample {sample} is a {type(output).__name__} that "
                "is no class index and no vector of scores: return either for each sample"
            )
        return answer


_METRICS: dict[str, QualityMetric] = {}


def register(metric: QualityMetric) -> None:
    """Make a metric known by its name; a later one takes the place of an earlier one."""
    _METRICS[metric.name] = metric


def metric(name: str) -> QualityMetric:
    """Look a metric up.

    Raises:
        UserError: There is no such metric.
    """
    if name not in _METRICS:
        known = ", ".join(metric_names())
        raise UserError(f"unknown quality metric {name!r}: use one of {known}, or register yours")
    return _METRICS[name]


def metric_names() -> tuple[str, ...]:
    """The metrics there are, sorted."""
    return tuple(sorted(_METRICS))


def meets(metric: QualityMetric, estimate: Estimate, target: float) -> bool:
    """Whether the figure is at least as good as the target; never when it was not measured."""
    if estimate.value is None:
        return False
    return estimate.value >= target if metric.better == "higher" else estimate.value <= target


register(TopK(name="top1", k=1))
register(TopK(name="top5", k=5))


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
