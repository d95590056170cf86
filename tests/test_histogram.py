"""The histogram: what merging and quantiles promise."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pytest_aibench.loadgen.histogram import LatencyHistogram, from_json, from_latencies
from pytest_aibench.loadgen.percentiles import percentile_index

Latencies = npt.NDArray[np.int64]
LATENCIES = st.one_of(
    arrays(np.int64, st.integers(0, 40), elements=st.integers(0, 2000)),
    arrays(np.int64, st.integers(0, 40), elements=st.integers(0, 10**13)),
)


@given(LATENCIES)
def test_every_latency_is_counted(latencies: Latencies) -> None:
    assert from_latencies(latencies).total == len(latencies)


@given(LATENCIES, LATENCIES)
def test_merging_counts_both(one: Latencies, other: Latencies) -> None:
    together = from_latencies(np.concatenate([one, other]))
    assert from_latencies(one).merge(from_latencies(other)) == together
    assert from_latencies(other).merge(from_latencies(one)) == together


@given(LATENCIES, LATENCIES, LATENCIES)
def test_merging_in_any_order(one: Latencies, two: Latencies, three: Latencies) -> None:
    a, b, c = map(from_latencies, (one, two, three))
    assert a.merge(b).merge(c) == a.merge(b.merge(c))


@given(LATENCIES.filter(len), st.floats(0, 0.9999))
def test_quantile_is_within_one_percent(latencies: Latencies, fraction: float) -> None:
    exact = max(1, np.sort(latencies)[percentile_index(len(latencies), fraction)])
    assert from_latencies(latencies).quantile_ns(fraction) == pytest.approx(exact, rel=0.01)


@given(LATENCIES)
def test_json_round_trip(latencies: Latencies) -> None:
    histogram = from_latencies(latencies)
    assert from_json(json.loads(json.dumps(histogram.to_json(), allow_nan=False))) == histogram


def test_json_form() -> None:
    assert from_latencies(np.array([1, 100, 100, 103])).to_json() == {
        "growth": 1.01,
        "first": 0,
        "counts": [1] + 461 * [0] + [2, 0, 0, 1],
    }


def test_refuses_other_buckets() -> None:
    with pytest.raises(ValueError, match=r"histogram buckets grow by 1\.02, expected 1\.01"):
        from_json({"growth": 1.02, "first": 0, "counts": [1]})


def test_empty_histogram_has_no_quantile() -> None:
    with pytest.raises(ValueError, match="an empty histogram has no quantile"):
        LatencyHistogram().quantile_ns(0.5)
