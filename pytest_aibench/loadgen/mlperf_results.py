"""The results of a finished load as LoadGen 6.0 reports them, by the keys of its detail log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_aibench.loadgen.early_stopping import TailEstimate, tail_estimate
from pytest_aibench.loadgen.journal import Load
from pytest_aibench.loadgen.mlperf_rules import LoadFacts, Ruling, apply_rules
from pytest_aibench.loadgen.mlperf_run import LoggedRun
from pytest_aibench.loadgen.percentiles import percentile_index
from pytest_aibench.loadgen.streams import IntArray
from pytest_aibench.scenarios import Scenario

PERCENTILES = (0.50, 0.90, 0.95, 0.97, 0.99, 0.999)
"""Those that LoadGen reports in every log."""

_INFERRED_PERCENTILE = 0.99
"""LoadGen also estimates this one in single stream, to infer a multi-stream result from it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadGenResults:
    """What LoadGen says of a load.

    Unlike in LoadGen, errors make the result invalid.

    Attributes:
        ruling: Its verdict by the rules for queries and latencies.
        errors: What went wrong, one line each.
        headline: The scenario's judged latency percentile in ns, or samples per second.
        figures: The other results by key, in the order of the log.
    """

    ruling: Ruling
    errors: tuple[str, ...]
    headline: float
    figures: dict[str, Any]

    @property
    def valid(self) -> bool:
        """Whether the rules are kept and nothing went wrong."""
        return self.ruling.valid and not self.errors

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the result is not valid, as far as there is advice."""
        return (*self.ruling.recommendations, *self.errors)


def results_of(run: LoggedRun) -> LoadGenResults | None:
    """The results of a run; None unless its performance phase answered a query."""
    if run.performance is None or not run.performance.load.answered.any():
        return None
    scenario, load, settings = run.scenario, run.performance.load, run.effective
    latencies = _sorted_latencies(scenario, load)
    offline = scenario.name == "offline"
    facts = LoadFacts(
        sorted_latencies_ns=latencies,
        duration_ns=int(latencies[-1] if offline else load.due_ns[-1]),
        min_duration_ns=settings.min_duration_ms * 1_000_000,
        min_queries=settings.min_sample_count if offline else settings.min_query_count,
    )
    figures = _FIGURES[scenario.name](scenario, load, latencies)
    rates = ("result_completed_samples_per_sec", "result_samples_per_second")
    judged = latencies[percentile_index(len(latencies), scenario.judged_percentile)]
    return LoadGenResults(
        ruling=apply_rules(scenario, facts),
        errors=run.errors,
        headline=next((figures[rate] for rate in rates if rate in figures), int(judged)),
        figures=figures,
    )


def _sorted_latencies(scenario: Scenario, load: Load) -> IntArray:
    """One latency per query; offline, where the parts of the one query differ, per sample."""
    if scenario.name != "offline":
        return np.sort(load.latency_ns)
    answered = load.answered
    return np.sort(np.repeat(load.completed_ns[answered], load.sizes[answered]))


def _single_stream(scenario: Scenario, load: Load, latencies: IntArray) -> dict[str, Any]:
    mean_ns = int(latencies.sum()) // len(latencies)
    judged = tail_estimate(latencies, scenario.judged_percentile)
    inferred = tail_estimate(latencies, _INFERRED_PERCENTILE) if judged else None
    return {
        "result_query_count": len(latencies),
        "result_qps_with_loadgen_overhead": _rate(load, int(load.issued_ns[-1])),
        "result_qps_without_loadgen_overhead": 1e9 / mean_ns,
        "early_stopping_latency_ss": _latency_of(judged),
        "early_stopping_latency_ms": _latency_of(inferred),
        **_latency_figures(latencies),
    }


def _multi_stream(scenario: Scenario, load: Load, latencies: IntArray) -> dict[str, Any]:
    # A query is answered at once, so its latency is that of each of its samples.
    answered = load.answered
    by_query = (load.completed_ns - load.due_ns)[answered]
    by_sample = np.sort(np.repeat(by_query, load.sizes[answered]))
    return {
        "result_query_count": len(latencies),
        **_latency_figures(latencies, "_query", "_per_query"),
        "early_stopping_latency_ms": _latency_of(
            tail_estimate(latencies, scenario.judged_percentile)
        ),
        **_latency_figures(by_sample),
    }


def _server(scenario: Scenario, load: Load, latencies: IntArray) -> dict[str, Any]:
    bound_ns = round((scenario.latency_bound_s or 0.0) * 1e9)
    return {
        "result_query_count": len(latencies),
        "result_overlatency_query_count": int((latencies > bound_ns).sum()),
        "result_scheduled_samples_per_sec": _rate(load, int(load.due_ns[-1])),
        "result_completed_samples_per_sec": _rate(load, int(load.completed_ns[-1])),
        **_latency_figures(latencies),
    }


def _offline(scenario: Scenario, load: Load, latencies: IntArray) -> dict[str, Any]:
    return {
        "result_query_count": 1,
        "result_samples_per_second": len(latencies) / int(latencies[-1]) * 1e9,
        **_latency_figures(latencies),
    }


_FIGURES = {
    "single_stream": _single_stream,
    "multi_stream": _multi_stream,
    "server": _server,
    "offline": _offline,
}


def _rate(load: Load, until_ns: int) -> float:
    """Queries per second up to the last one, which does not count itself."""
    return (len(load.issued_ns) - 1) / until_ns * 1e9 if until_ns > 0 else 0.0


def _latency_of(estimate: TailEstimate | None) -> int:
    """LoadGen's early-stopping estimate in ns; 0 below the fewest queries for one."""
    return 0 if estimate is None else int(estimate.latency)


def _latency_figures(
    latencies: IntArray, kind: str = "", percentile_kind: str = ""
) -> dict[str, Any]:
    n = len(latencies)
    percentiles = {
        f"result_{percentile * 100:.2f}_percentile{percentile_kind}_latency_ns": int(
            latencies[percentile_index(n, percentile)]
        )
        for percentile in PERCENTILES
    }
    return {
        f"result_min{kind}_latency_ns": int(latencies[0]),
        f"result_max{kind}_latency_ns": int(latencies[-1]),
        f"result_mean{kind}_latency_ns": int(latencies.sum()) // n,
        **percentiles,
    }
