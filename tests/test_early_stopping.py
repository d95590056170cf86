"""Early stopping against exact sums and what LoadGen answered."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.early_stopping import (
    TailEstimate,
    confident_rank,
    is_met,
    min_queries,
    queries_missing,
    tail_estimate,
)

PERCENTILES = (0.5, 0.75, 0.9, 0.95, 0.97, 0.99, 0.995, 0.999)
# h_min(t) + t by t, one column per percentile; columns of t = 0 and 1 as LoadGen 6.0.17 answered.
TABLE = {
    0: (7, 17, 44, 90, 152, 459, 919, 4603),
    1: (11, 24, 64, 130, 219, 662, 1325, 6636),
    2: (14, 31, 81, 165, 277, 838, 1678, 8403),
    3: (17, 37, 97, 198, 332, 1001, 2006, 10042),
    5: (22, 49, 127, 259, 433, 1307, 2618, 13105),
    10: (35, 76, 197, 398, 667, 2010, 4024, 20140),
    20: (59, 126, 325, 656, 1097, 3304, 6615, 33097),
    50: (128, 267, 681, 1372, 2293, 6898, 13804, 69058),
    100: (237, 490, 1246, 2504, 4182, 12571, 25155, 125826),
    200: (451, 923, 2337, 4691, 7831, 23527, 47072, 235427),
    500: (1078, 2190, 5518, 11064, 18458, 55427, 110880, 554510),
    1000: (2108, 4264, 10722, 21483, 35831, 107569, 215176, 1076032),
}


def exact_chance(queries: int, over: int, percentile: float) -> Fraction:
    """P[Binomial(queries, 1 - percentile) <= over] without rounding."""
    p = Fraction(percentile)
    return sum(
        (comb(queries, k) * (1 - p) ** k * p ** (queries - k) for k in range(over + 1)), Fraction()
    )


@pytest.mark.parametrize("over", TABLE)
def test_table_of_minimum_queries(over: int) -> None:
    assert tuple(min_queries(over, p) for p in PERCENTILES) == TABLE[over]


@given(
    st.integers(1, 80),
    st.integers(0, 80),
    st.sampled_from((*PERCENTILES, 0.1, 0.25)),
)
def test_condition_against_exact_sums(queries: int, over: int, percentile: float) -> None:
    over = min(over, queries)
    expected = exact_chance(queries, over, percentile) < Fraction(1 - 0.99)
    assert is_met(queries, over, percentile) is expected


@pytest.mark.parametrize("percentile", [0.1, 0.5, 0.9, 0.99])
def test_minimum_is_where_the_condition_starts(percentile: float) -> None:
    for over in (0, 1, 7, 60, 4000, 100_000):
        needed = min_queries(over, percentile)
        assert is_met(needed, over, percentile)
        assert not is_met(needed - 1, over, percentile)


@given(st.integers(1, 20_000), st.integers(0, 300), st.sampled_from(PERCENTILES))
def test_server_verdict_and_missing_queries(queries: int, over: int, percentile: float) -> None:
    over = min(over, queries)
    missing = queries_missing(queries, over, percentile)
    assert (missing == 0) is is_met(queries, over, percentile)
    assert is_met(queries + missing, over, percentile)


# As LoadGen 6.0.17 answered to runs with these numbers of queries and over-latency queries.
@pytest.mark.parametrize(
    ("queries", "over", "missing"), [(190, 61, 7977), (300, 0, 159), (500, 0, 0)]
)
def test_missing_queries_as_official(queries: int, over: int, missing: int) -> None:
    assert queries_missing(queries, over, 0.99) == missing


@pytest.mark.parametrize(
    ("queries", "percentile", "discarded"),
    [(1000, 0.9, 77), (5000, 0.9, 449), (20000, 0.9, 1900), (64, 0.9, 0), (137, 0.9, 4)],
)
def test_estimate_discards_as_official(queries: int, percentile: float, discarded: int) -> None:
    latencies = np.arange(queries, dtype=np.int64)
    estimate = TailEstimate(queries - discarded - 1, discarded)
    assert tail_estimate(latencies, percentile) == estimate


def test_no_estimate_below_the_floor() -> None:
    assert tail_estimate(np.arange(63), 0.9) is None
    assert tail_estimate(np.arange(661), 0.99) is None
    assert tail_estimate(np.arange(662), 0.99) == TailEstimate(661, 0)


@given(st.integers(1, 5000), st.sampled_from(PERCENTILES))
def test_rank_is_the_best_that_is_certain(queries: int, percentile: float) -> None:
    rank = confident_rank(queries, percentile)
    assert rank == 0 or is_met(queries, rank - 1, percentile)
    assert not is_met(queries, rank, percentile)


@pytest.mark.parametrize("percentile", [0.0, 1.0, 90.0, -0.5, float("nan")])
def test_refuses_what_is_no_percentile(percentile: float) -> None:
    expected = (
        rf"^percentile {percentile!r} must lie between 0 and 1: write 0\.99 for the 99th percentile"
    )
    with pytest.raises(UserError, match=expected):
        min_queries(0, percentile)
