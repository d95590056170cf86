"""MLPerf's early stopping: how many queries a percentile bound needs at 99 % confidence.

A query is *over* when its latency exceeds the bound. If the bound did not hold, at least a share
``1 - percentile`` of all queries would be over; early stopping asks that so few over-latency
queries would then have a probability below one percent (MLPerf Inference rules, appendix on early
stopping; LoadGen 6.0 with tolerance 0).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy.typing as npt

from pytest_aibench.bounds import CONFIDENCE
from pytest_aibench.errors import UserError


def is_met(queries: int, over: int, percentile: float) -> bool:
    """Whether ``over`` over-latency queries among ``queries`` show that the bound holds.

    P[Binomial(queries, 1 - percentile) <= over] as a regularised incomplete beta function,
    compared strictly and in doubles, as LoadGen does.
    """
    from scipy.special import betainc

    _check_percentile(percentile)
    return bool(betainc(queries - over, over + 1, percentile) < 1 - CONFIDENCE)


@lru_cache(maxsize=4096)
def min_queries(over: int, percentile: float) -> int:
    """Fewest queries that show the bound holds when ``over`` of them are over: h_min(t) + t."""
    spread = 1
    while not is_met(over + spread, over, percentile):
        spread *= 2
    return over + bisect_left(range(spread), True, key=lambda h: is_met(over + h, over, percentile))


def queries_missing(queries: int, over: int, percentile: float) -> int:
    """How many more queries the bound needs if all of them are under it; 0 when none."""
    return max(0, min_queries(over, percentile) - queries)


@lru_cache(maxsize=4096)
def confident_rank(queries: int, percentile: float) -> int:
    """Rank, counted from the highest latency, that is confidently not below the percentile.

    It is one more than the largest number of over-latency queries that early stopping accepts, so
    that the latency of this rank is within a bound exactly when early stopping is met. It is 0
    when there are too few queries for any.
    """
    return bisect_left(range(queries), True, key=lambda over: not is_met(queries, over, percentile))


@dataclass(frozen=True, slots=True)
class TailEstimate:
    """LoadGen's early-stopping estimate of a percentile, in the unit of the latencies.

    Attributes:
        latency: The estimate, not below the percentile with 99 % confidence.
        discarded: Number of higher latencies that were left out.
    """

    latency: float
    discarded: int


def tail_estimate(sorted_latencies: npt.NDArray[Any], percentile: float) -> TailEstimate | None:
    """The estimate that LoadGen reports for single stream and multi-stream.

    It takes one rank more to the top than needed: the t-th highest, for the largest t >= 1 that is
    accepted. None below ``min_queries(1, percentile)`` queries.
    """
    rank = confident_rank(len(sorted_latencies), percentile) - 1
    if rank < 1:
        return None
    return TailEstimate(sorted_latencies[-rank].item(), rank - 1)


def _check_percentile(percentile: float) -> None:
    if not 0 < percentile < 1:
        raise UserError(
            f"percentile {percentile!r} must lie between 0 and 1: "
            "write 0.99 for the 99th percentile"
        )
