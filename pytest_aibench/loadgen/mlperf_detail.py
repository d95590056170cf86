"""LoadGen's detail log, the file ``mlperf_log_detail.txt``: one JSON object a line.

It has the keys that accuracy scripts and the submission checker read. Left out are facts of
LoadGen's own build and logger; numbers keep all their digits, where LoadGen prints six.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from pytest_aibench.loadgen.journal import Load
from pytest_aibench.loadgen.mlperf_run import (
    AccuracyPhase,
    LoadGenResults,
    LoggedRun,
    PerformancePhase,
)
from pytest_aibench.loadgen.mlperf_settings import relevant_settings
from pytest_aibench.scenarios import Offline, Server

_FORMAT = "format of LoadGen 6.0"

_TOKENS = ("use_token_latencies", "ttft_latency", "tpot_latency")
"""Settings of times per token, which the logs do not have."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line of the log, at a moment by the wall clock."""

    key: str
    value: Any
    at: datetime
    is_error: bool = False


def detail_text(run: LoggedRun, results: LoadGenResults | None) -> str:
    """The detail log.

    Args:
        run: The run.
        results: Results of its performance phase; None without one, or without an answer in it.
    """
    entries = list(_entries(run, results))
    begin = entries[0].at
    where = {
        "file": Path(__file__).name,
        "line_no": 0,
        "pid": os.getpid(),
        "tid": threading.get_native_id(),
    }
    return "".join(f":::MLLOG {_json(entry, begin, where)}\n" for entry in entries)


def _json(entry: _Entry, begin: datetime, where: dict[str, Any]) -> str:
    line = {
        "key": entry.key,
        "value": entry.value,
        "time_ms": (entry.at - begin) / timedelta(milliseconds=1),
        "namespace": "mlperf::logging",
        "event_type": "POINT_IN_TIME",
        "metadata": {"is_error": entry.is_error, "is_warning": False, **where},
    }
    return json.dumps(line, allow_nan=False)


def _entries(run: LoggedRun, results: LoadGenResults | None) -> Iterator[_Entry]:
    phases = [phase for phase in (run.accuracy, run.performance) if phase is not None]
    begin, end = phases[0].began_at, phases[-1].ended_at
    for key, value in {**_identity(run, begin), **_settings(run)}.items():
        yield _Entry(key, value, begin)
    if run.accuracy is not None:
        yield from _accuracy(run.accuracy)
    if run.performance is not None:
        yield from _performance(run, run.performance)
    for key, value in (_results(run, results) if results else {}).items():
        yield _Entry(key, value, end)
    if run.performance is not None:
        yield _Entry("num_errors", len(run.errors), end)


def _identity(run: LoggedRun, begin: datetime) -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "loadgen_version": f"pytest-aibench {version('pytest-aibench')} ({_FORMAT})",
        "test_datetime": f"{begin.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        "sut_name": run.system,
        "qsl_name": run.library,
        "qsl_reported_total_count": run.total,
        "qsl_reported_performance_count": run.performance_count,
    }


def _settings(run: LoggedRun) -> dict[str, Any]:
    names = {"scenario": run.requested.scenario, "test_mode": run.mode}
    requested = {**relevant_settings(run.requested), **names}
    effective = {**names, **asdict(run.effective)}
    return {
        **{f"requested_{name}": v for name, v in requested.items() if name not in _TOKENS},
        **{f"effective_{name}": value for name, value in effective.items()},
    }


def _accuracy(phase: AccuracyPhase) -> Iterator[_Entry]:
    yield _Entry("generic_message", "Starting accuracy mode", phase.began_at)
    for loaded in phase.sets:
        yield from _generated(loaded.tolist(), 1, len(loaded), 0, phase.began_at)
    yield from _errors(phase)
    yield from _power(phase)


def _performance(run: LoggedRun, phase: PerformancePhase) -> Iterator[_Entry]:
    load, begin, end = phase.load, phase.began_at, phase.ended_at
    yield _Entry("generic_message", "Starting performance mode", begin)
    last_due_ns = int(load.due_ns.max(initial=0))
    yield from _generated(phase.loaded.tolist(), *_shape(run, load), last_due_ns, begin)
    yield _Entry("generic_message", load.stopped, end)
    yield from _errors(phase)
    yield from _power(phase)


def _shape(run: LoggedRun, load: Load) -> tuple[int, int]:
    """Number of queries and samples of each; offline is one query, in however many parts."""
    if isinstance(run.scenario, Offline):
        return 1, int(load.sizes.sum())
    return len(load.sizes), int(load.sizes.max(initial=0))


def _generated(
    loaded: list[int], n_queries: int, samples_per_query: int, duration_ns: int, at: datetime
) -> Iterator[_Entry]:
    yield _Entry("loaded_qsl_set", loaded, at)
    yield _Entry("generated_query_count", n_queries, at)
    yield _Entry("generated_samples_per_query", samples_per_query, at)
    yield _Entry("generated_query_duration", duration_ns, at)


def _errors(phase: AccuracyPhase | PerformancePhase) -> Iterator[_Entry]:
    for error in phase.errors:
        yield _Entry("error_runtime", error, phase.ended_at, is_error=True)


def _power(phase: AccuracyPhase | PerformancePhase) -> Iterator[_Entry]:
    """When power was to be measured, in local time as LoadGen writes it."""
    for key, at in (("power_begin", phase.began_at), ("power_end", phase.ended_at)):
        yield _Entry(key, f"{at.astimezone():%m-%d-%Y %H:%M:%S.%f}"[:-3], phase.ended_at)


def _results(run: LoggedRun, results: LoadGenResults) -> dict[str, Any]:
    ruling = results.ruling
    constraints = {"result_perf_constraints_met": ruling.perf_constraints_met}
    reasons = "".join(f"{reason} " for reason in results.reasons)
    return {
        "result_validity": "VALID" if results.valid else "INVALID",
        **(constraints if isinstance(run.scenario, Server) else {}),
        "result_min_duration_met": ruling.min_duration_met,
        "result_min_queries_met": ruling.min_queries_met,
        "early_stopping_met": ruling.early_stopping.met,
        **({} if results.valid else {"result_invalid_reason": _one_line(reasons)}),
        "early_stopping_result": _one_line(ruling.early_stopping.text),
        **results.figures,
    }


def _one_line(text: str) -> str:
    return text.replace("\n", " ")
