"""Throughput with an interval, from the times at which samples were completed.

Completions of one run are correlated, so the interval comes from non-overlapping batch means (Law
& Kelton, Simulation Modeling and Analysis, 3rd ed., section 9.5.3): the run is cut into batches of
as many completion calls each, at most 30, because more gain little (Schmeiser, Operations Research
30, 1982), and Student's t is applied to the ratio of time to samples over the batches. It is
applied to the logarithm of the ratio, because service times are skewed to the right: on the plain
scale, exponential ones would pass a wrong bound twice as often as allowed.

The confidence is approximate. It suffers when stalls are so rare that a run may miss them all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_aibench.bounds import CONFIDENCE, Estimate
from pytest_aibench.units import RATE

MIN_CALLS = 100
_CALLS_PER_BATCH = 10
_MOST_BATCHES = 30


@dataclass(frozen=True, slots=True)
class Completions:
    """When samples were completed.

    Attributes:
        start_ns: Start of the load.
        completed_ns: Stamp of each completion call, ascending, shape (calls,).
        samples: Samples that each call completed, shape (calls,).
    """

    start_ns: int
    completed_ns: npt.NDArray[np.int64]
    samples: npt.NDArray[np.int64]


def throughput_estimate(completions: Completions, confidence: float = CONFIDENCE) -> Estimate:
    """Samples per second from the start to the last completion, each side at ``confidence``.

    The interval needs ``MIN_CALLS`` completion calls and a load whose speed does not drift.
    """
    calls = len(completions.completed_ns)
    if calls == 0 or completions.completed_ns[-1] <= completions.start_ns:
        return Estimate(value=None, unit=RATE, why_open="no sample completed")
    elapsed_s = float(completions.completed_ns[-1] - completions.start_ns) / 1e9
    value = float(completions.samples.sum()) / elapsed_s
    if calls < MIN_CALLS:
        why_open = f"throughput needs {MIN_CALLS} completion calls, {MIN_CALLS - calls} more"
        return Estimate(value=value, unit=RATE, n=calls, why_open=why_open)
    factor = math.exp(_log_half_width(completions, confidence))
    return Estimate(value=value, low=value / factor, high=value * factor, unit=RATE, n=calls)


def _log_half_width(completions: Completions, confidence: float) -> float:
    """Half the width of the interval of the logarithm of the throughput."""
    from scipy.special import stdtrit

    seconds, samples = _batches(completions)
    residuals = seconds - seconds.sum() / samples.sum() * samples
    freedom = len(seconds) - 1
    error = math.sqrt((residuals**2).sum() / freedom / len(seconds))
    return float(stdtrit(freedom, confidence) * error / seconds.mean())


def _batches(
    completions: Completions,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Seconds and samples of each batch of completion calls, shape (batches,)."""
    calls = len(completions.samples)
    batches = min(_MOST_BATCHES, calls // _CALLS_PER_BATCH)
    ends = np.linspace(0, calls, batches + 1).astype(np.int64)
    stamps = np.concatenate(([completions.start_ns], completions.completed_ns))[ends]
    done = np.concatenate(([0], np.cumsum(completions.samples)))[ends]
    return np.diff(stamps) / 1e9, np.diff(done).astype(np.float64)
