"""A latency histogram that merges: counts in buckets that grow by one percent.

Bucket i holds latencies from ``GROWTH**i`` up to ``GROWTH**(i + 1)`` ns, so that histograms of any
two runs share their buckets and a quantile read from one is within one percent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_aibench.loadgen.percentiles import percentile_index

GROWTH = 1.01


@dataclass(frozen=True, slots=True)
class LatencyHistogram:
    """Counts of latencies in consecutive buckets; the outer buckets are not empty.

    Attributes:
        first: Index of the bucket of the first count.
        counts: Latencies per bucket.
    """

    first: int = 0
    counts: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        """Number of latencies."""
        return sum(self.counts)

    def merge(self, other: LatencyHistogram) -> LatencyHistogram:
        """The histogram of both sets of latencies together."""
        if not self.counts or not other.counts:
            return self if self.counts else other
        first = min(self.first, other.first)
        end = max(self.first + len(self.counts), other.first + len(other.counts))
        merged = np.zeros(end - first, dtype=np.int64)
        for part in (self, other):
            offset = part.first - first
            merged[offset : offset + len(part.counts)] += part.counts
        return LatencyHistogram(first, tuple(merged.tolist()))

    def quantile_ns(self, fraction: float) -> float:
        """MLPerf's percentile of the latencies in ns, within one percent.

        Raises:
            ValueError: The histogram is empty.
        """
        if not self.counts:
            raise ValueError("an empty histogram has no quantile")
        rank = percentile_index(self.total, fraction)
        bucket = int(np.searchsorted(np.cumsum(self.counts), rank, side="right"))
        return float(GROWTH ** (self.first + bucket + 0.5))

    def to_json(self) -> dict[str, Any]:
        """``{"growth": 1.01, "first": index of the first bucket, "counts": [...]}``."""
        return {"growth": GROWTH, "first": self.first, "counts": list(self.counts)}


def from_latencies(latencies_ns: npt.NDArray[np.int64]) -> LatencyHistogram:
    """Count latencies in ns; one below 1 ns counts as 1 ns, the resolution of the clock."""
    if len(latencies_ns) == 0:
        return LatencyHistogram()
    buckets = np.floor(np.log(np.maximum(latencies_ns, 1)) / math.log(GROWTH)).astype(np.int64)
    first = int(buckets.min())
    return LatencyHistogram(first, tuple(np.bincount(buckets - first).tolist()))


def from_json(value: dict[str, Any]) -> LatencyHistogram:
    """Read what `LatencyHistogram.to_json` wrote.

    Raises:
        ValueError: The buckets have another width.
    """
    if value["growth"] != GROWTH:
        raise ValueError(f"histogram buckets grow by {value['growth']}, expected {GROWTH}")
    return LatencyHistogram(value["first"], tuple(value["counts"]))
