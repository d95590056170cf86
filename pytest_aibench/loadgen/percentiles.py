"""Latency percentiles and their distribution-free intervals.

The ends of an interval are order statistics, so it is valid for any latency distribution (David &
Nagaraja, Order Statistics, 3rd ed., section 7.1), provided that queries are independent.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_aibench.bounds import Estimate
from pytest_aibench.loadgen.early_stopping import confident_rank, min_queries
from pytest_aibench.units import TIME

_FIGURE = re.compile(r"p(\d{2,})$")


def percentile_index(n: int, percentile: float) -> int:
    """Index of MLPerf's percentile in ascending order: ``n * percentile`` in doubles, truncated.

    LoadGen reads beyond the end when the product rounds up to n; here it is the last index.
    """
    return min(int(n * percentile), n - 1)


def figure_percentile(name: str) -> float | None:
    """The percentile that a figure's name means: 0.99 for ``p99``, 0.999 for ``p999``."""
    match = _FIGURE.match(name)
    return float(f"0.{match[1]}") if match else None


def percentile_figure(percentile: float) -> str:
    """The figure's name of a percentile: ``p99``, ``p999``."""
    return "p" + f"{percentile:.10f}".removeprefix("0.").rstrip("0").ljust(2, "0")


def queries_needed(percentile: float) -> int:
    """Fewest queries for which both ends of the percentile's interval exist: 459 for p99."""
    return min_queries(0, max(percentile, 1 - percentile))


def interval_ranks(n: int, percentile: float) -> tuple[int, int]:
    """Ranks of the interval's ends: the lower from the lowest latency, the upper from the highest.

    Ranks start at 1; 0 means that n queries cannot support that end. Each side alone has 99 %
    confidence, and ``upper <= bound`` is exactly MLPerf's early-stopping condition.
    """
    return confident_rank(n, 1 - percentile), confident_rank(n, percentile)


def percentile_estimate(sorted_latencies_s: npt.NDArray[np.float64], percentile: float) -> Estimate:
    """A latency percentile with its two-sided interval, each side at 99 % confidence.

    Args:
        sorted_latencies_s: Latencies in seconds, ascending.
        percentile: Between 0 and 1, like 0.99.

    Raises:
        UserError: The percentile is not between 0 and 1.
    """
    ranks = interval_ranks(len(sorted_latencies_s), percentile)
    return estimate_from_ranks(sorted_latencies_s, percentile, ranks, queries_needed(percentile))


def estimate_from_ranks(
    sorted_latencies_s: npt.NDArray[np.float64],
    percentile: float,
    ranks: tuple[int, int],
    needed: int,
) -> Estimate:
    """Read a percentile's value and the ends given by ``ranks`` (see `interval_ranks`).

    Args:
        sorted_latencies_s: Latencies in seconds, ascending.
        percentile: Between 0 and 1.
        ranks: Lower rank from the lowest, upper rank from the highest latency; 0 for none.
        needed: Fewest queries for which both ends exist, for the message.
    """
    n = len(sorted_latencies_s)
    if n == 0:
        return Estimate(value=None, unit=TIME, why_open="no query completed")
    lower, upper = ranks
    name = percentile_figure(percentile)
    return Estimate(
        value=_at(sorted_latencies_s, percentile_index(n, percentile)),
        low=_at(sorted_latencies_s, lower - 1) if lower else None,
        high=_at(sorted_latencies_s, n - upper) if upper else None,
        unit=TIME,
        n=n,
        why_open="" if lower and upper else f"{name} needs {needed} queries, {needed - n} more",
    )


def _at(values: npt.NDArray[Any], index: int) -> float:
    return float(values[index])
