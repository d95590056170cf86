"""Quality metrics by name: a score for every sample, and one figure with its interval.

This module holds what a metric is, those of ranked answers, and the intervals. Those of `text` and
of `vision` are imported when one of them is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from statistics import NormalDist
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from pytest_aibench.bounds import CONFIDENCE, Estimate
from pytest_aibench.errors import UserError
from pytest_aibench.units import RATIO

Better = Literal["higher", "lower"]
Scores = npt.NDArray[np.float64]
Measure = Callable[[Sequence[Any], npt.NDArray[Any]], Scores]


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

        They are kept for each sample, so that two models can be compared pairwise. Where the
        figure is not their mean the shape is (n_samples, 1 + k): behind its score, each sample
        has the k statistics that the figure is computed from.
        """

    def estimate(self, scores: Scores) -> Estimate:
        """The figure over all samples; without a value when it could not be measured."""


def per_sample(scores: Scores) -> Scores:
    """The samples' own scores, shape (n_samples,), without what else the figure needs."""
    return scores if scores.ndim == 1 else scores[:, 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanMetric:
    """A figure that is the mean of the samples' scores; the interval is bootstrapped.

    Attributes:
        measure: Scores of all outputs, shape (n_samples,); see `each`.
    """

    name: str
    measure: Measure
    better: Better = "higher"
    unit: str = RATIO

    def scores(self, outputs: Sequence[Any], references: npt.NDArray[Any]) -> Scores:
        """Score each sample; NaN where its output holds a NaN.

        Raises:
            UserError: Outputs and references differ in number, or an output is of a wrong kind.
        """
        return _measured(self, outputs, references)

    def estimate(self, scores: Scores) -> Estimate:
        """Their mean, with a two-sided interval of two 99 % sides."""
        return _estimate(scores, self.unit, _mean, mean_interval)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusMetric:
    """A figure of all samples together, like BLEU; the interval is the jackknife's.

    A sample's own score is the figure of that sample alone.

    Attributes:
        measure: Statistics of all outputs, shape (n_samples, k); see `each`.
        figure: Figure of the statistics of at least one sample.
        limits: The least and the greatest figure there can be.
    """

    name: str
    measure: Measure
    figure: Callable[[Scores], float]
    better: Better = "higher"
    unit: str = RATIO
    limits: tuple[float, float] = (0.0, 1.0)

    def scores(self, outputs: Sequence[Any], references: npt.NDArray[Any]) -> Scores:
        """Own score and statistics of each sample; NaN where its output holds a NaN.

        Raises:
            UserError: Outputs and references differ in number, or an output is of a wrong kind.
        """
        statistics = _measured(self, outputs, references)
        if statistics.ndim == 1:
            return statistics
        answered = ~np.isnan(statistics).any(axis=1)
        own = np.full(len(statistics), np.nan)
        own[answered] = [self.figure(row[np.newaxis]) for row in statistics[answered]]
        return np.column_stack((own, statistics))

    def estimate(self, scores: Scores) -> Estimate:
        """The figure of all samples, with a two-sided interval of two 99 % sides."""
        return _estimate(scores, self.unit, self._of_rows, self._interval)

    def _of_rows(self, scores: Scores) -> float:
        return self.figure(scores[:, 1:])

    def _interval(self, scores: Scores, confidence: float) -> tuple[float, float]:
        low, high = jackknife_interval(scores, self._of_rows, confidence)
        least, greatest = self.limits
        return max(least, low), min(greatest, high)


def each(score: Callable[[Any, Any], float | Sequence[float] | Scores]) -> Measure:
    """Measure each sample by itself: ``score(output, reference)`` gives a number, or k of them.

    It is not asked about an output that is None or holds a NaN: that sample's row is NaN.
    """

    def measure(outputs: Sequence[Any], references: npt.NDArray[Any]) -> Scores:
        answered = np.array([not _holds_nan(output) for output in outputs], dtype=np.bool_)
        rows = np.array(
            [_scored(score, outputs, references, i) for i in np.flatnonzero(answered).tolist()],
            dtype=np.float64,
        )
        scores = np.full((len(outputs), *rows.shape[1:]), np.nan)
        scores[answered] = rows
        return scores

    return measure


def mean_of_ratios(statistics: Scores) -> float:
    """Mean over classes of a ratio of sums over samples, where there is something to count.

    The first half of the statistics are the classes' numerators, the second their denominators.
    """
    numerators, denominators = np.split(statistics.sum(axis=0), 2)
    counted = denominators > 0
    return float(np.mean(numerators[counted] / denominators[counted]))


def _scored(
    score: Callable[[Any, Any], Any], outputs: Sequence[Any], references: Any, sample: int
) -> Any:
    try:
        return score(outputs[sample], references[sample])
    except UserError as error:
        raise UserError(f"sample {sample}: {error}") from None


def _holds_nan(output: Any) -> bool:
    try:
        values = np.asarray(output)
    except ValueError:  # arrays of several shapes: not one that a metric takes
        return False
    return output is None or (values.dtype.kind in "fc" and bool(np.isnan(values).any()))


def _measured(
    metric: MeanMetric | CorpusMetric, outputs: Sequence[Any], references: npt.NDArray[Any]
) -> Scores:
    _check_number(metric.name, outputs, references)
    try:
        return metric.measure(outputs, references)
    except UserError as error:
        raise UserError(f"{metric.name}: {error}") from None


def _check_number(name: str, outputs: Sequence[Any], references: npt.NDArray[Any]) -> None:
    if len(outputs) != len(references):
        raise UserError(
            f"{name}: {len(outputs)} outputs for {len(references)} references: "
            "return one output for each sample"
        )


def _estimate(
    scores: Scores,
    unit: str,
    figure: Callable[[Scores], float],
    interval: Callable[[Scores, float], tuple[float, float]],
) -> Estimate:
    """Quality targets are judged by the value, as MLPerf does."""
    n = len(scores)
    missing = np.flatnonzero(~np.isfinite(per_sample(scores)))
    if n == 0 or len(missing) > 0:
        why = (
            f"{len(missing)} of {n} outputs are not numbers, "
            f"the first is that of sample {missing[0]}"
            if len(missing)
            else "no sample was scored"
        )
        return Estimate(value=None, unit=unit, n=n, by_value=True, why_open=why)
    value = figure(scores)
    try:
        low, high = interval(scores, 2 * CONFIDENCE - 1)
    except UserError as too_few:
        return Estimate(value=value, unit=unit, n=n, by_value=True, why_open=str(too_few))
    return Estimate(value=value, low=low, high=high, unit=unit, n=n, by_value=True)


def _mean(scores: Scores) -> float:
    return float(scores.mean())


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
        _check_number(self.name, outputs, references)
        pairs = enumerate(zip(outputs, references, strict=True))
        return np.array([self._hit(*pair, sample) for sample, pair in pairs], dtype=np.float64)

    def estimate(self, scores: Scores) -> Estimate:
        """Share of right answers, with a two-sided interval of two 99 % sides."""
        return _estimate(scores, self.unit, _mean, _share_interval)

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


def _share_interval(scores: Scores, confidence: float) -> tuple[float, float]:
    return wilson(int(scores.sum()), len(scores), confidence)


def precision(k: int) -> Measure:
    """Share of a sample's first ``k`` answers that are relevant.

    An output holds ids, best first (integers), or a score for every id (floats); a reference the
    relevant ids, padded with -1. Ties of scores count against the model.
    """

    def score(output: Any, reference: Any) -> float:
        return float(_relevant_answers(output, reference, k).sum() / k)

    return each(score)


def ndcg(k: int) -> Measure:
    """Discounted gain of a sample's first ``k`` answers, as a share of the best there could be.

    A relevant answer at rank r gains 1 / log2(r + 1) (Järvelin and Kekäläinen, ACM TOIS 20, 2002).
    Outputs and references are those of `precision`.
    """

    def score(output: Any, reference: Any) -> float:
        gains = 1 / np.log2(np.arange(k) + 2)
        relevant = np.count_nonzero(np.atleast_1d(reference) >= 0)
        hits = _relevant_answers(output, reference, k)
        return float(hits @ gains[: len(hits)] / gains[:relevant].sum())

    return each(score)


def _relevant_answers(output: Any, reference: Any, k: int) -> npt.NDArray[np.bool_]:
    """Which of the first k answers are relevant."""
    answer, ids = np.asarray(output), np.atleast_1d(reference)
    if answer.ndim != 1 or answer.dtype.kind not in "iuf" or len(answer) < k:
        raise UserError(
            f"the output has shape {answer.shape} and type {answer.dtype}: return at least {k} "
            "ids, best first, or a score for every id"
        )
    relevant = ids[ids >= 0]
    if len(relevant) == 0:
        raise UserError("the reference has no relevant id: leave the sample out")
    if answer.dtype.kind == "f":
        answer = np.lexsort((np.isin(np.arange(len(answer)), relevant), -answer))
    return np.isin(answer[:k], relevant)


_METRICS: dict[str, QualityMetric] = {}

_TEXT = ("bleu", "perplexity", "rougeL", "token_accuracy", "wer")
_VISION = (
    "class_accuracy",
    "map50",
    "mean_iou",
    "ms_ssim",
    "mse",
    "pixel_accuracy",
    "psnr",
    "sliced_wasserstein",
    "verification_accuracy",
    "voxel_iou",
)
_MODULES = {
    **dict.fromkeys(_TEXT, "pytest_aibench.quality.text"),
    **dict.fromkeys(_VISION, "pytest_aibench.quality.vision"),
}


def register(metric: QualityMetric) -> None:
    """Make a metric known by its name; a later one takes the place of an earlier one."""
    _METRICS[metric.name] = metric


def metric(name: str) -> QualityMetric:
    """Look a metric up.

    Raises:
        UserError: There is no such metric.
    """
    if name not in _METRICS and name in _MODULES:
        for built_in in import_module(_MODULES[name]).METRICS:
            _METRICS.setdefault(built_in.name, built_in)
    if name not in _METRICS:
        known = ", ".join(metric_names())
        raise UserError(f"unknown quality metric {name!r}: use one of {known}, or register yours")
    return _METRICS[name]


def metric_names() -> tuple[str, ...]:
    """The metrics there are, sorted."""
    return tuple(sorted({*_METRICS, *_MODULES}))


def meets(metric: QualityMetric, estimate: Estimate, target: float) -> bool:
    """Whether the figure is at least as good as the target; never when it was not measured."""
    if estimate.value is None:
        return False
    return estimate.value >= target if metric.better == "higher" else estimate.value <= target


register(TopK(name="top1", k=1))
register(TopK(name="top5", k=5))
register(TopK(name="hr10", k=10))
register(MeanMetric(name="precision_at_10", measure=precision(10)))
register(MeanMetric(name="ndcg10", measure=ndcg(10)))


_RESAMPLES = 2000
_GROUPS = 200


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
    from scipy.special import ndtr, stdtrit

    n = len(scores)
    if n < 2:
        raise UserError(f"a mean of {n} scores has no interval: give at least 2")
    rng = np.random.default_rng(seed)
    means = [scores[rng.integers(n, size=n)].mean() for _ in range(_RESAMPLES)]
    tail = ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - confidence) / 2))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def jackknife_interval(
    rows: Scores, figure: Callable[[Scores], float], confidence: float = 0.95
) -> tuple[float, float]:
    """Two-sided interval of a figure of all rows, from what it is without some of them.

    The figure, plus and minus its jackknife standard error times Student's t (Tukey, Annals of
    Mathematical Statistics 29, 1958). Above 200 rows groups of them are left out instead of single
    ones, so a figure that is dear, like average precision, is computed 200 times at most.

    Raises:
        UserError: There are fewer than two rows.
    """
    from scipy.special import stdtrit

    n = len(rows)
    if n < 2:
        raise UserError(f"a figure of {n} samples has no interval: give at least 2")
    n_groups = min(n, _GROUPS)
    group = np.arange(n) % n_groups
    without = np.array([figure(rows[group != left_out]) for left_out in range(n_groups)])
    error = math.sqrt((n_groups - 1) * without.var())
    half_width = stdtrit(n_groups - 1, (1 + confidence) / 2) * error
    value = figure(rows)
    return float(value - half_width), float(value + half_width)
