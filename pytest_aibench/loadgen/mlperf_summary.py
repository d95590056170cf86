"""LoadGen's summary, the file ``mlperf_log_summary.txt``: results for people to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_aibench.loadgen.mlperf_run import LoadGenResults, LoggedRun
from pytest_aibench.loadgen.mlperf_settings import EffectiveSettings
from pytest_aibench.scenarios import Offline, Scenario, Server

_RULE = 48 * "="
_PARAMETERS = {
    "samples_per_query": "samples_per_query",
    "target_qps": "target_qps",
    "target_latency (ns)": "target_latency_ns",
    "max_async_queries": "max_async_queries",
    "min_duration (ms)": "min_duration_ms",
    "max_duration (ms)": "max_duration_ms",
    **{
        name: name
        for name in (
            "min_query_count",
            "max_query_count",
            "qsl_rng_seed",
            "sample_index_rng_seed",
            "schedule_rng_seed",
            "accuracy_log_rng_seed",
            "accuracy_log_probability",
            "accuracy_log_sampling_target",
            "print_timestamps",
            "performance_issue_unique",
            "performance_issue_same",
            "performance_issue_same_index",
            "performance_sample_count",
            "accuracy_sample_count",
        )
    },
}
"""LoadGen's labels, and the settings they show."""


def summary_text(run: LoggedRun, results: LoadGenResults | None) -> str:
    """The summary.

    Args:
        run: The run.
        results: Results of its performance phase; None without one, or without an answer in it.
    """
    lines = list(_with_results(run, results)) if results else []
    return "\n".join([*lines, "", "No warnings encountered during test.", "", _errors(run), ""])


def _with_results(run: LoggedRun, results: LoadGenResults) -> Iterator[str]:
    yield from _title("MLPerf Results Summary")
    yield f"SUT name : {run.system}"
    yield f"Scenario : {run.requested.scenario}"
    yield f"Mode     : {run.mode}"
    yield _headline(run.scenario, results.headline)
    yield f"Result is : {'VALID' if results.valid else 'INVALID'}"
    yield from _verdicts(run.scenario, results)
    yield ""
    yield from _title("Additional Stats")
    yield from _statistics(run.scenario, results.figures)
    yield ""
    yield from _title("Test Parameters Used")
    yield from _parameters(run.effective)


def _title(text: str) -> Iterator[str]:
    yield from (_RULE, text, _RULE)


def _headline(scenario: Scenario, value: float) -> str:
    if isinstance(scenario, Server):
        return f"Completed samples per second    : {value:.2f}"
    if isinstance(scenario, Offline):
        return f"Samples per second: {value:g}"
    return f"{scenario.judged_percentile * 100:.1f}th percentile latency (ns) : {value}"


def _verdicts(scenario: Scenario, results: LoadGenResults) -> Iterator[str]:
    ruling = results.ruling
    if isinstance(scenario, Server):
        yield f"  Performance constraints satisfied : {_yes(ruling.perf_constraints_met)}"
    yield f"  Min duration satisfied : {_yes(ruling.min_duration_met)}"
    yield f"  Min queries satisfied : {_yes(ruling.min_queries_met)}"
    yield f"  Early stopping satisfied: {_yes(ruling.early_stopping.met)}"
    if not results.valid:
        yield "Recommendations:"
        yield from (f" * {reason}" for reason in results.reasons)
    if not isinstance(scenario, Offline):
        yield "Early Stopping Result:"
        yield ruling.early_stopping.text


def _yes(met: bool) -> str:
    return "Yes" if met else "NO"


def _statistics(scenario: Scenario, figures: dict[str, Any]) -> Iterator[str]:
    if isinstance(scenario, Server):
        yield f"Scheduled samples per second : {figures['result_scheduled_samples_per_sec']:.2f}"
    kinds = ("", "")
    if scenario.name == "single_stream":
        with_own, without = (
            figures[f"result_qps_{how}_loadgen_overhead"] for how in ("with", "without")
        )
        yield f"QPS w/ loadgen overhead         : {with_own:.2f}"
        yield f"QPS w/o loadgen overhead        : {without:.2f}"
        yield ""
    if scenario.name == "multi_stream":
        yield "Per-query latency:  "
        kinds = ("_query", "_per_query")
    yield from _latencies(figures, *kinds)


def _latencies(figures: dict[str, Any], kind: str, percentile_kind: str) -> Iterator[str]:
    for name in ("min", "max", "mean"):
        value = figures[f"result_{name}{kind}_latency_ns"]
        yield f"{f'{name.title()} latency (ns)':<32}: {value}"
    for key, value in figures.items():
        if key.endswith(f"_percentile{percentile_kind}_latency_ns"):
            percentile = key.removeprefix("result_").partition("_")[0]
            yield f"{percentile} percentile latency (ns)   : {value}"


def _parameters(effective: EffectiveSettings) -> Iterator[str]:
    for label, name in _PARAMETERS.items():
        value = getattr(effective, name)
        text = f"{value:g}" if isinstance(value, float) else f"{value:d}"
        yield f"{label}{'' if label.endswith(')') else ' '}: {text}"


def _errors(run: LoggedRun) -> str:
    count = len(run.errors)
    if not count:
        return "No errors encountered during test."
    return f"{count} ERROR{'S' if count > 1 else ''} encountered. See detailed log."
