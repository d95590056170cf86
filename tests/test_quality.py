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
from pytest_aibench.quality.metrics import Better, Scores, meets, metric, metric_names

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
