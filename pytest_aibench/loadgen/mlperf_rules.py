"""MLPerf's VALID or INVALID: the four conditions, and the texts that LoadGen writes about them.

Texts are LoadGen 6.0's, so that a record can be read beside an official log; they end in their
own advice, which is not always the best one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_aibench.loadgen.early_stopping import min_queries, queries_missing, tail_estimate
from pytest_aibench.loadgen.percentiles import percentile_index
from pytest_aibench.scenarios import MultiStream, Offline, Scenario, Server, SingleStream

# LoadGen also reports this percentile of single stream, to infer a multi-stream result from it.
_INFERRED_PERCENTILE = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFacts:
    """What the rules need to know of a finished load.

    Attributes:
        sorted_latencies_ns: One latency per query, per sample in the offline scenario; ascending.
        duration_ns: From the start to the last query's issue (single and multi-stream), to its
            scheduled time (server) or to the last completion (offline).
        min_duration_ns: Shortest duration that was asked for.
        min_queries: Fewest queries that were asked for, samples in the offline scenario.
    """

    sorted_latencies_ns: npt.NDArray[np.int64]
    duration_ns: int
    min_duration_ns: int
    min_queries: int


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """LoadGen's verdict on early stopping.

    Attributes:
        met: Whether the queries suffice; always true in the offline scenario.
        text: LoadGen's account of it; empty in the offline scenario.
        estimate_ns: Estimate of the judged percentile, in single and multi-stream; None without.
        discarded: Number of higher latencies left out of the estimate; None without one.
    """

    met: bool
    text: str
    estimate_ns: int | None = None
    discarded: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """LoadGen's verdict on a load, and its advice for each unmet condition that has any."""

    min_duration_met: bool
    min_queries_met: bool
    perf_constraints_met: bool
    early_stopping: EarlyStopping
    recommendations: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """Whether LoadGen would call the result VALID."""
        return (
            self.min_duration_met
            and self.min_queries_met
            and self.perf_constraints_met
            and self.early_stopping.met
        )


def apply_rules(scenario: Scenario, load: LoadFacts) -> Ruling:
    """Rule on a load of at least one query as LoadGen 6.0 does.

    Errors of the system under test do not enter, as they do not in LoadGen.
    """
    min_duration_met = load.duration_ns >= load.min_duration_ns
    min_queries_met = len(load.sorted_latencies_ns) >= load.min_queries
    perf_constraints_met = _perf_constraints_met(scenario, load.sorted_latencies_ns)
    advice = {
        "Reduce target QPS to improve latency.": perf_constraints_met,
        _longer_load_advice(scenario): min_duration_met,
        "The test exited early, before enough queries were issued.\n"
        "   See the detailed log for why this may have occurred.": min_queries_met,
    }
    return Ruling(
        min_duration_met=min_duration_met,
        min_queries_met=min_queries_met,
        perf_constraints_met=perf_constraints_met,
        early_stopping=_early_stopping(scenario, load.sorted_latencies_ns),
        recommendations=tuple(text for text, met in advice.items() if not met),
    )


def _perf_constraints_met(scenario: Scenario, sorted_ns: npt.NDArray[np.int64]) -> bool:
    if not isinstance(scenario, Server):
        return True
    index = percentile_index(len(sorted_ns), scenario.percentile)
    return bool(sorted_ns[index] <= _bound_ns(scenario))


def _bound_ns(scenario: Server) -> int:
    return round((scenario.latency_bound_s or 0.0) * 1e9)


def _longer_load_advice(scenario: Scenario) -> str:
    if isinstance(scenario, Server):
        return "Increase the target QPS so the loadgen pre-generates more queries."
    if isinstance(scenario, Offline):
        return "Increase expected QPS so the loadgen pre-generates a larger (coalesced) query."
    return "Decrease the expected latency so the loadgen pre-generates more queries."


def _early_stopping(scenario: Scenario, sorted_ns: npt.NDArray[np.int64]) -> EarlyStopping:
    if isinstance(scenario, Server):
        return _server(sorted_ns, scenario.percentile, _bound_ns(scenario))
    if isinstance(scenario, MultiStream):
        return _tail(sorted_ns, scenario.percentile)
    if isinstance(scenario, SingleStream):
        early = _tail(sorted_ns, scenario.percentile)
        return _with_inferred(early, sorted_ns) if early.met else early
    return EarlyStopping(True, "")


def _server(sorted_ns: npt.NDArray[np.int64], percentile: float, bound_ns: int) -> EarlyStopping:
    n = len(sorted_ns)
    over = n - int(np.searchsorted(sorted_ns, bound_ns, side="right"))
    missing = queries_missing(n, over, percentile)
    if not missing:
        return EarlyStopping(True, " * Run successful.")
    return EarlyStopping(
        False,
        f" * Run unsuccessful.\n * Processed {n} queries.\n"
        f" * Would need to run at least {missing} more queries,\n"
        " with the run being successful if every additional\n query were under latency.",
    )


def _tail(sorted_ns: npt.NDArray[np.int64], percentile: float) -> EarlyStopping:
    n, needed = len(sorted_ns), min_queries(1, percentile)
    estimate = tail_estimate(sorted_ns, percentile)
    if estimate is None:
        return EarlyStopping(
            False,
            f" * Only processed {n} queries.\n"
            f" * Need to process at least {needed} queries for early stopping.",
        )
    text = (
        f" * Processed at least {needed} queries ({n}).\n"
        f" * Would discard {estimate.discarded} highest latency queries.\n"
        f"{_estimate_line(percentile, estimate.latency)}"
    )
    return EarlyStopping(True, text, int(estimate.latency), estimate.discarded)


def _with_inferred(early: EarlyStopping, sorted_ns: npt.NDArray[np.int64]) -> EarlyStopping:
    estimate = tail_estimate(sorted_ns, _INFERRED_PERCENTILE)
    if estimate is None:
        line = (
            f" * Not enough queries processed for {_ordinal(_INFERRED_PERCENTILE)} percentile\n"
            " early stopping estimate (would need to process at\n"
            f" least {min_queries(1, _INFERRED_PERCENTILE)} total queries)."
        )
    else:
        line = _estimate_line(_INFERRED_PERCENTILE, estimate.latency)
    return EarlyStopping(True, f"{early.text}\n{line}", early.estimate_ns, early.discarded)


def _estimate_line(percentile: float, latency_ns: float) -> str:
    return f" * Early stopping {_ordinal(percentile)} percentile estimate: {latency_ns:.0f}"


def _ordinal(percentile: float) -> str:
    return f"{percentile * 100:.1f}th"
