"""Quality metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pytest_aibench.bounds import Estimate, Verdict, at_least, judge
from pytest_aibench.errors import UserError
from pytest_aibench.quality import metrics
from pytest_aibench.quality.metrics import (
    Better,
    CorpusMetric,
    MeanMetric,
    Scores,
    each,
    mean_of_ratios,
    meets,
    metric,
    metric_names,
    per_sample,
)

NAN = float("nan")
INF = float("inf")


@pytest.mark.parametrize(
    ("name", "output", "reference", "score"),
    [
        ("top1", 3, 3, 1),
        ("top1", np.int64(3), 4, 0),
        ("top1", [0.1, 0.7, 0.2], 1, 1),
        ("top1", [0.1, 0.7, 0.2], 2, 0),
        ("top1", [0.0, 0.0, 0.0], 0, 0),
        ("top1", [0.5, 0.5, 0.0], 0, 0),
        ("top1", [INF, 0.0, -INF], 0, 1),
        ("top1", [INF, INF, 0.0], 0, 0),
        ("top5", [6, 5, 4, 3, 2, 1], 4, 1),
        ("top5", [6, 5, 4, 3, 2, 1], 5, 0),
        ("top5", [6, 5, 4, 3, 2, 2], 4, 0),
        ("top5", [1, 1, 1, 1, 1, 1], 0, 0),
        ("top5", 2, 2, 1),
    ],
)
def test_top_k_of_one_sample(name: str, output: Any, reference: int, score: float) -> None:
    assert metric(name).scores([output], np.array([reference])).tolist() == [score]


@pytest.mark.parametrize("output", [NAN, None, [0.1, NAN, 0.3]])
def test_output_that_is_no_number_is_not_scored(output: Any) -> None:
    top1 = metric("top1")
    scores = top1.scores([0, output, output], np.array([0, 1, 2]))
    np.testing.assert_array_equal(scores, [1, NAN, NAN])
    assert top1.estimate(scores) == Estimate(
        value=None,
        n=3,
        by_value=True,
        why_open="2 of 3 outputs are not numbers, the first is that of sample 1",
    )


@given(
    st.lists(st.permutations(range(8)), min_size=1, max_size=20),
    st.integers(0, 7),
    st.sampled_from([1, 5]),
)
def test_top_k_is_the_rank_in_sorted_scores(
    outputs: list[list[int]], reference: int, k: int
) -> None:
    references = np.full(len(outputs), reference)
    expected = [reference in np.argsort(output)[-k:] for output in outputs]
    assert metric(f"top{k}").scores(outputs, references).tolist() == expected


def test_model_that_ignores_its_input_is_never_right() -> None:
    references = np.arange(10)
    scores = metric("top1").scores([np.full(10, 0.1)] * 10, references)
    assert metric("top1").estimate(scores).value == 0


@given(st.integers(1, 400), st.data())
def test_estimate_is_the_share_with_wilsons_interval(n: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, n))
    estimate = metric("top1").estimate(np.repeat([1.0, 0.0], [correct, n - correct]))
    expected = binomtest(correct, n).proportion_ci(confidence_level=0.98, method="wilson")
    assert estimate.value == correct / n
    assert (estimate.low, estimate.high) == pytest.approx(tuple(expected), abs=1e-12)
    assert (estimate.n, estimate.unit, estimate.by_value) == (n, "", True)


def test_nothing_scored_is_not_measured_and_never_satisfies() -> None:
    estimate = metric("top1").estimate(metric("top1").scores([], np.array([], dtype=np.int64)))
    check = judge("top1", estimate, at_least(0))
    assert (check.verdict, check.reason) == (Verdict.FAILED, "not measured: no sample was scored")
    assert not meets(metric("top1"), estimate, 0)


@pytest.mark.parametrize(
    ("name", "outputs", "message"),
    [
        ("top1", [1], "top1: 1 outputs for 2 references: return one output for each sample"),
        (
            "top1",
            [1, [0.3, 0.7]],
            "top1: sample 1 of class 2 got 2 scores: "
            "return a score for every class, of more than 1 classes",
        ),
        (
            "top5",
            [1, [1, 2, 3, 4, 5]],
            "top5: sample 1 of class 2 got 5 scores: "
            "return a score for every class, of more than 5 classes",
        ),
        (
            "top1",
            ["seven", 1],
            "top1: the output of sample 0 is a str that is no class index and no vector of scores: "
            "return either for each sample",
        ),
        (
            "top1",
            [1, np.zeros((1, 10))],
            "top1: the output of sample 1 is a ndarray that is no class index and no vector of "
            "scores: return either for each sample",
        ),
    ],
)
def test_outputs_of_the_wrong_kind_are_refused(name: str, outputs: list[Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        metric(name).scores(outputs, np.array([1, 2]))
    assert str(error.value) == message


def test_class_below_zero_is_refused() -> None:
    with pytest.raises(UserError, match="sample 0 of class -1 got 3 scores"):
        metric("top1").scores([[0.1, 0.2, 0.7]], np.array([-1]))


def ranks(name: str, output: Any, reference: Any) -> float:
    return float(metric(name).scores([np.array(output)], np.array([reference]))[0])


@pytest.mark.parametrize(
    ("output", "relevant", "precision", "ndcg"),
    [
        # Ranks 1 and 3 of two relevant ids: (1 + 1 / 2) of (1 + 1 / log2(3)).
        ([7, 1, 8, 2, 3, 4, 5, 6, 9, 10], [7, 8, -1], 0.2, 1.5 / (1 + 1 / np.log2(3))),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [11, -1, -1], 0.0, 0.0),
        # One of two is found, at rank 10.
        (
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
            [10, 11],
            0.1,
            1 / np.log2(11) / (1 + 1 / np.log2(3)),
        ),
        # Scores: id 2 is first, id 0 second.
        ([0.8, 0.1, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0], [2, -1], 0.1, 1.0),
        ([0.8, 0.1, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0], 0, 0.1, 1 / np.log2(3)),
        ([0.0] * 11, [0], 0.0, 0.0),
        ([0.0] * 10, [0], 0.1, 1 / np.log2(11)),
    ],
)
def test_ranked_answers(output: Any, relevant: Any, precision: float, ndcg: float) -> None:
    assert ranks("precision_at_10", output, relevant) == precision
    assert ranks("ndcg10", output, relevant) == pytest.approx(ndcg)


def test_all_that_could_be_right_is_right() -> None:
    ids = np.arange(20)
    assert ranks("precision_at_10", ids, ids) == 1
    assert ranks("ndcg10", ids, ids) == pytest.approx(1)


def test_hit_rate_is_top_10_of_the_candidates() -> None:
    scores = np.linspace(1, 0, 100)
    assert [ranks("hr10", scores, candidate) for candidate in (0, 9, 10)] == [1, 1, 0]
    assert ranks("hr10", np.zeros(100), 0) == 0


@pytest.mark.parametrize(
    ("output", "reference", "message"),
    [
        (
            [1, 2, 3],
            [1],
            "ndcg10: sample 0: the output has shape (3,) and type int64: "
            "return at least 10 ids, best first, or a score for every id",
        ),
        (
            range(10),
            [-1, -1],
            "ndcg10: sample 0: the reference has no relevant id: leave the sample out",
        ),
    ],
)
def test_ranked_answers_that_are_refused(output: Any, reference: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        ranks("ndcg10", output, reference)
    assert str(error.value) == message


DISTANCE = MeanMetric(name="distance", measure=each(lambda a, b: abs(a - b)), better="lower")
SHARE = CorpusMetric(name="share", measure=each(lambda a, b: (a, b)), figure=mean_of_ratios)


def test_mean_metric_has_the_mean_and_its_bootstrap_interval() -> None:
    scores = DISTANCE.scores(list(range(20)), np.zeros(20))
    estimate = DISTANCE.estimate(scores)
    assert (estimate.value, estimate.n, estimate.by_value) == (9.5, 20, True)
    assert (estimate.low, estimate.high) == metrics.mean_interval(scores, 0.98)


def test_corpus_metric_keeps_the_score_of_each_sample_before_its_statistics() -> None:
    scores = SHARE.scores([1, 3, 0], np.array([2, 4, 10]))
    assert scores.tolist() == [[0.5, 1, 2], [0.75, 3, 4], [0, 0, 10]]
    assert per_sample(scores).tolist() == [0.5, 0.75, 0]
    estimate = SHARE.estimate(scores)
    assert estimate.value == 4 / 16
    assert (estimate.low, estimate.n, estimate.by_value) == (0, 3, True)


def test_corpus_metric_has_the_jackknife_interval() -> None:
    outputs = np.random.default_rng(3).integers(0, 5, 40)
    scores = SHARE.scores(outputs.tolist(), np.full(40, 5))
    estimate = SHARE.estimate(scores)
    expected = metrics.jackknife_interval(scores[:, 1:], mean_of_ratios, 0.98)
    assert (estimate.low, estimate.high) == expected


@pytest.mark.parametrize(
    ("quality", "why"),
    [
        (DISTANCE, "a mean of 1 scores has no interval: give at least 2"),
        (SHARE, "a figure of 1 samples has no interval: give at least 2"),
    ],
)
def test_single_sample_has_a_figure_without_an_interval(
    quality: metrics.QualityMetric, why: str
) -> None:
    estimate = quality.estimate(quality.scores([3], np.array([4])))
    assert estimate.value in (1, 0.75)
    assert (estimate.low, estimate.high, estimate.why_open) == (None, None, why)


@pytest.mark.parametrize("quality", [DISTANCE, SHARE])
def test_no_number_and_no_sample_are_not_measured(quality: metrics.QualityMetric) -> None:
    scores = quality.scores([1.0, NAN, None], np.array([2, 2, 2]))
    assert np.isnan(per_sample(scores)).tolist() == [False, True, True]
    assert quality.estimate(scores).why_open == (
        "2 of 3 outputs are not numbers, the first is that of sample 1"
    )
    nothing = quality.estimate(quality.scores([], np.empty(0)))
    assert (nothing.value, nothing.why_open) == (None, "no sample was scored")


def test_class_that_never_occurs_is_left_out_of_the_mean() -> None:
    assert mean_of_ratios(np.array([[1.0, 0.0, 3.0, 0.0], [1.0, 0.0, 1.0, 0.0]])) == 0.5


def test_own_metric_takes_the_place_of_one_that_is_not_imported_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "_METRICS", {})
    mine = MeanMetric(name="wer", measure=DISTANCE.measure)
    metrics.register(mine)
    assert metric("bleu").name == "bleu"
    assert metric("wer") is mine


def test_every_name_is_that_of_its_metric() -> None:
    assert [metric(name).name for name in metric_names()] == list(metric_names())


def test_unknown_metric_lists_those_there_are() -> None:
    with pytest.raises(UserError) as error:
        metric("top2")
    known = ", ".join(metric_names())
    assert str(error.value) == (
        f"unknown quality metric 'top2': use one of {known}, or register yours"
    )
    assert {"top1", "top5"} <= set(metric_names())


@dataclass(frozen=True)
class MeanError:
    """A user's own metric, where less is better."""

    name: str = "mean_error"
    better: Better = "lower"
    unit: str = ""

    def scores(self, outputs: Sequence[Any], references: npt.NDArray[Any]) -> Scores:
        """Absolute differences."""
        differences: Scores = np.abs(np.asarray(outputs, dtype=np.float64) - references)
        return differences

    def estimate(self, scores: Scores) -> Estimate:
        """Their mean."""
        return Estimate(value=float(scores.mean()), n=len(scores), by_value=True)


def test_own_metric_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_METRICS", dict(metrics._METRICS))
    metrics.register(MeanError())
    assert metric("mean_error") == MeanError()


@pytest.mark.parametrize(
    ("quality", "value", "expected"),
    [
        (metric("top1"), 0.98, True),
        (metric("top1"), 0.97, False),
        (MeanError(), 0.98, True),
        (MeanError(), 0.97, True),
        (MeanError(), 0.99, False),
    ],
)
def test_target_is_met_in_the_metrics_direction(
    quality: metrics.QualityMetric, value: float, expected: bool
) -> None:
    assert meets(quality, Estimate(value=value), 0.98) is expected
