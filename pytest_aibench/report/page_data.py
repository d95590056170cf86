"""The data inside the HTML report: columns of 32-bit figures in base64, decoded when drawn.

A thousand runs of five hundred series make half a million figures with their intervals. As JSON
numbers they would take the browser seconds to read; as strings they cost nothing until shown.
"""

from __future__ import annotations

import base64
import math
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_aibench.regression.change_points import ChangePoint
    from pytest_aibench.results.identity import SeriesKey
    from pytest_aibench.results.index import Point
    from pytest_aibench.results.schema import BenchmarkEntry, CheckEntry, Json, Metric, PeakEntry

_SPEEDS = ("tokens_per_s", "peak_qps", "peak_streams", "throughput_samples_per_s")
"""Figures that can stand for a benchmark's speed, the most telling first."""

_IN_METRICS = {"s": (("_ms", 1e3), ("_s", 1.0)), "samples/s": (("_samples_per_s", 1.0),)}
"""Endings of metrics by the base unit of checks, and how many of their unit make one."""

_CHANGE_FIELDS = ("index", "before", "after", "ratio", "interval", "worse", "confirmed")
_CHECK_FIELDS = ("name", "value", "low", "high", "unit", "bound", "limit", "verdict", "reason")
_LARGEST = 3.4e38


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The history of one figure.

    Attributes:
        key: Its series.
        points: Its runs, oldest first; at least one.
        changes: Change points; an index is one into ``points``.
        entry: The benchmark in the last of these runs; None for a canary.
    """

    key: SeriesKey
    points: Sequence[Point]
    changes: Sequence[ChangePoint] = ()
    entry: BenchmarkEntry | None = None


def bound_check(history: History) -> CheckEntry | None:
    """The check that bounds this figure in the last run."""
    scaled = _scaled_check(history)
    return None if scaled is None else scaled[0]


def verdict(history: History) -> str:
    """The verdict on this figure in the last run; empty when nothing judged it."""
    check = bound_check(history)
    if history.entry is not None and history.entry.verdict in ("invalid", "interrupted"):
        return history.entry.verdict
    return "" if check is None else check.verdict


def _scaled_check(history: History) -> tuple[CheckEntry, float] | None:
    """The check on this figure, and what takes its base unit to the figure's."""
    checks = () if history.entry is None else history.entry.checks
    for check in checks:
        for ending, factor in (("", 1.0), *_IN_METRICS.get(check.unit, ())):
            if history.key.metric == check.name + ending:
                return check, factor
    return None


def page_data(histories: Sequence[History]) -> Json:
    """All that the page's script reads, as JSON values."""
    runs = runs_of(histories)
    numbers = {run.run_id: number for number, run in enumerate(runs)}
    groups = _groups(histories)
    group_numbers = {group: number for number, group in enumerate(groups)}
    lists: dict[str, int] = {}
    return {
        "series": [
            _series(history, group_numbers[_group(history)], numbers, lists)
            for history in histories
        ],
        "benchmarks": [_benchmark(latest) for latest in groups.values()],
        "lists": list(lists),
        **_run_columns(runs),
    }


def runs_of(histories: Iterable[History]) -> list[Point]:
    """One point for each run, in the order of time."""
    points = {point.run_id: point for history in histories for point in history.points}
    return sorted(points.values(), key=lambda point: (_moment(point), point.run_id))


def _moment(point: Point) -> datetime:
    # Python 3.10 does not read the suffix Z.
    return datetime.fromisoformat(point.started_at.replace("Z", "+00:00"))


def _group(history: History) -> tuple[str, str, str]:
    return history.key.benchmark, history.key.hardware, history.key.setup


def _groups(histories: Iterable[History]) -> dict[tuple[str, str, str], History]:
    """By benchmark the history with the latest run, whose entry tells most recently of it."""
    groups: dict[tuple[str, str, str], History] = {}
    for history in histories:
        known = groups.setdefault(_group(history), history)
        if _moment(history.points[-1]) > _moment(known.points[-1]):
            groups[_group(history)] = history
    return groups


def _run_columns(runs: Sequence[Point]) -> dict[str, Json]:
    """Facts of runs; most runs share their environment, so that each is written once."""
    environments: dict[tuple[tuple[str, str], ...], int] = {}
    chosen = [environments.setdefault(_environment(run), len(environments)) for run in runs]
    return {
        "runs": {
            "id": [run.run_id for run in runs],
            "at": [run.started_at for run in runs],
            "commit": [run.commit for run in runs],
            "branch": [run.branch for run in runs],
            "dirty": [int(run.dirty) for run in runs],
            "environment": chosen,
        },
        "environments": [dict(environment) for environment in environments],
    }


def _environment(run: Point) -> tuple[tuple[str, str], ...]:
    # The subject has columns of its own, and the state is another in every run.
    own = ("subject.", "state.")
    return tuple(sorted(fact for fact in run.factors.items() if not fact[0].startswith(own)))


def _series(
    history: History, group: int, numbers: Mapping[str, int], lists: dict[str, int]
) -> Json:
    points, last = history.points, history.points[-1]
    runs = _column("I", [numbers[point.run_id] for point in points])
    has_interval = any(point.low is not None or point.high is not None for point in points)
    return {
        "benchmark": group,
        "metric": history.key.metric,
        "better": last.better,
        "n": len(points),
        "list": lists.setdefault(runs, len(lists)),
        "values": _floats(point.value for point in points),
        "low": _floats(point.low for point in points) if has_interval else None,
        "high": _floats(point.high for point in points) if has_interval else None,
        "latest": [last.value, last.low, last.high],
        "invalid": {place: point.invalid for place, point in enumerate(points) if point.invalid},
        "changes": [
            {name: getattr(change, name) for name in _CHANGE_FIELDS} for change in history.changes
        ],
        "verdict": verdict(history),
        "bound": _bound(history),
    }


def _floats(values: Iterable[float | None]) -> str:
    """A column of figures; one that is missing, or too large for 32 bits, becomes NaN."""
    kept = (math.nan if value is None or abs(value) > _LARGEST else value for value in values)
    return _column("f", kept)


def _column(kind: str, values: Iterable[Any]) -> str:
    column = array(kind, values)
    if sys.byteorder == "big":
        column.byteswap()
    return base64.b64encode(column.tobytes()).decode("ascii")


def _bound(history: History) -> Json:
    scaled = _scaled_check(history)
    if scaled is None or scaled[0].limit is None:
        return None
    check, factor = scaled
    return {"limit": scaled[0].limit * factor, "text": check.bound}


def _benchmark(latest: History) -> Json:
    key, entry = latest.key, latest.entry
    named = {"name": key.benchmark, "hardware": key.hardware, "setup": key.setup}
    if entry is None:
        return {**named, **_NO_ENTRY}
    return {
        **named,
        "verdict": entry.verdict,
        "precision": entry.precision,
        "device": entry.device.name if entry.device else "",
        "dataset": entry.dataset.name if entry.dataset else "",
        "checks": [
            {name: getattr(check, name) for name in _CHECK_FIELDS} for check in entry.checks
        ],
        "violations": [f"{broken.rule}: {broken.evidence}" for broken in entry.violations],
        "histogram": _histogram(entry),
        "peak": None if entry.peak is None else _peak(entry.peak, entry.metrics),
        "tradeoff": _tradeoff(entry),
    }


_NO_ENTRY: Mapping[str, Json] = {
    **dict.fromkeys(("verdict", "precision", "device", "dataset"), ""),
    **dict.fromkeys(("histogram", "peak", "tradeoff")),
    "checks": [],
    "violations": [],
}


def _histogram(entry: BenchmarkEntry) -> Json:
    if entry.load is None or not entry.load.histogram.get("counts"):
        return None
    return {
        **entry.load.histogram,
        "n": sum(entry.load.histogram["counts"]),
        "p50": _figure(entry.metrics.get("p50_ms"))[0],
        "p99": _figure(entry.metrics.get("p99_ms"))[0],
    }


def _peak(peak: PeakEntry, metrics: Mapping[str, Metric]) -> Json:
    found = next((metrics[name] for name in ("peak_qps", "peak_streams") if name in metrics), None)
    return {
        "unit": peak.unit,
        "bound_ms": peak.bound_ms,
        "stopped": peak.stopped,
        "latest": _figure(found),
        "curve": [
            [probe.load, probe.percentile_ms, probe.verdict == "passed", probe.replication]
            for probe in peak.curve
        ],
    }


def _tradeoff(entry: BenchmarkEntry) -> Json:
    """Quality beside speed, where both were measured; quality is a judged figure without a unit."""
    judged = (check.name for check in entry.checks if not check.unit)
    quality = next((name for name in judged if _is_measured(entry, name)), None)
    speed = next((name for name in _SPEEDS if _is_measured(entry, name)), None)
    if quality is None or speed is None:
        return None
    at = [_figure(entry.metrics[name]) for name in (quality, speed)]
    better = entry.metrics[quality].better
    return {"quality": quality, "speed": speed, "better": better, "at": at}


def _is_measured(entry: BenchmarkEntry, name: str) -> bool:
    return name in entry.metrics and entry.metrics[name].value is not None


def _figure(metric: Metric | None) -> list[float | None]:
    return [None] * 3 if metric is None else [metric.value, metric.low, metric.high]
