"""What LoadGen's logs say of a run: its facts, and the results that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from pytest_aibench.bounds import Violation
from pytest_aibench.loadgen.early_stopping import TailEstimate, tail_estimate
from pytest_aibench.loadgen.journal import Load
from pytest_aibench.loadgen.mlperf_rules import LoadFacts, Ruling, apply_rules
from pytest_aibench.loadgen.mlperf_settings import (
    EffectiveSettings,
    RequestedSettings,
    effective_settings,
)
from pytest_aibench.loadgen.percentiles import percentile_index
from pytest_aibench.loadgen.streams import IntArray
from pytest_aibench.scenarios import Scenario


@dataclass(frozen=True, slots=True)
class LoggedAnswer:
    """One line of the accuracy log.

    Attributes:
        number: Number of the sample in order of issue.
        index: Index of the sample in the library.
        output: What the system answered.
    """

    number: int
    index: int
    output: Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AccuracyPhase:
    """The accuracy run: every sample answered once, each loaded set in one query.

    Attributes:
        sets: Sample indices of each loaded set, in order of issue.
        outputs: What was answered, by sample index.
        began_at: When it began, by the wall clock.
        duration_s: Until the last answer.
        violations: Rules broken.
    """

    sets: Sequence[IntArray]
    outputs: Mapping[int, Any]
    began_at: datetime
    duration_s: float
    violations: Sequence[Violation] = ()

    @property
    def ended_at(self) -> datetime:
        """When the last answer came, by the wall clock."""
        return self.began_at + timedelta(seconds=self.duration_s)

    @property
    def errors(self) -> tuple[str, ...]:
        """What went wrong, one line each."""
        return _lines(self.violations)

    @property
    def answers(self) -> list[LoggedAnswer]:
        """The answers, in order of issue; samples without one are left out."""
        indices = [index for loaded in self.sets for index in loaded.tolist()]
        return [
            LoggedAnswer(number, index, self.outputs[index])
            for number, index in enumerate(indices)
            if index in self.outputs
        ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PerformancePhase:
    """The performance run; offline its one query may have been handed over in parts.

    Attributes:
        load: What happened to each query.
        loaded: Sample indices of the loaded set.
        began_at: When it began, by the wall clock.
        answers: The answers chosen for the accuracy log, as for compliance TEST01.
        samples: Index of each sample in order of issue; None when no trace is wanted.
    """

    load: Load
    loaded: IntArray
    began_at: datetime
    answers: Sequence[LoggedAnswer] = ()
    samples: IntArray | None = None

    @property
    def ended_at(self) -> datetime:
        """When the last answer came, by the wall clock."""
        return self.began_at + timedelta(seconds=self.load.duration_s)

    @property
    def errors(self) -> tuple[str, ...]:
        """What went wrong, one line each."""
        load = self.load
        if not len(load.overdue_ns):
            return _lines(load.violations)
        overdue = f"{len(load.overdue_ns)} queries were due but not issued: {load.stopped}"
        return (*_lines(load.violations), overdue)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoggedRun:
    """A run with its accuracy phase, its performance phase, or both (a submission run).

    Attributes:
        scenario: The scenario that ran.
        requested: The settings it ran with.
        system: Name of the system under test.
        library: Name of the sample library.
        total: Samples in the library.
        performance_count: Samples of it that fit in memory.
        accuracy: The accuracy phase, if there was one.
        performance: The performance phase, if there was one.
    """

    scenario: Scenario
    requested: RequestedSettings
    system: str
    library: str
    total: int
    performance_count: int
    accuracy: AccuracyPhase | None = None
    performance: PerformancePhase | None = None

    @property
    def mode(self) -> str:
        """LoadGen's name of the mode."""
        if self.accuracy is None:
            return "PerformanceOnly"
        return "AccuracyOnly" if self.performance is None else "SubmissionRun"

    @property
    def effective(self) -> EffectiveSettings:
        """The settings in effect; the offline query is as large as it was."""
        effective = effective_settings(self.requested, self.total, self.performance_count)
        if self.scenario.name != "offline" or self.performance is None:
            return effective
        return replace(effective, samples_per_query=int(self.performance.load.sizes.sum()))

    @property
    def answers(self) -> Sequence[LoggedAnswer]:
        """The lines of the accuracy log."""
        if self.accuracy is not None:
            return self.accuracy.answers
        return self.performance.answers if self.performance is not None else ()

    @property
    def errors(self) -> tuple[str, ...]:
        """What went wrong, one line each."""
        phases = (self.accuracy, self.performance)
        return tuple(error for phase in phases if phase is not None for error in phase.errors)


def _lines(violations: Iterable[Violation]) -> tuple[str, ...]:
    return tuple(f"{violation.rule}: {violation.evidence}" for violation in violations)


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
