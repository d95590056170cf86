"""The JSON of pytest-benchmark 5, written for its ``compare``, and read as imported records."""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import accumulate

from pytest_aibench.results.formats import (
    COMMIT,
    Exported,
    file_word,
    json_text,
    left_out,
    moment,
    split_node_id,
    unmeasured,
)
from pytest_aibench.results.identity import hardware_class, invalid_reason
from pytest_aibench.results.schema import (
    SCHEMA,
    BenchmarkEntry,
    Environment,
    Json,
    Metric,
    Run,
    to_json,
)

IMPORTED = "imported"
"""In place of our version in imported records, so that no series mixes them with measured ones."""

_VERSION = "5.3.1"
"""The version whose fields are written."""

_ORIGIN = "pytest_benchmark"
_EXACT = {"mean": "mean_ms", "median": "p50_ms"}
_QUARTILES = {"q1": "p25_ms", "median": "p50_ms", "q3": "p75_ms"}
_PERCENTILES = {"p25_ms": 0.25, "p50_ms": 0.5, "p75_ms": 0.75, "p90_ms": 0.9, "p99_ms": 0.99}
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

Buckets = Sequence[tuple[float, int]]
"""Times in s, ascending, and how often each occurred."""


def export(runs: Sequence[Run]) -> Exported:
    """A file for each run, with the benchmarks that timed something and are valid."""
    files: dict[str, str] = {}
    invalid: list[str] = []
    timeless: list[str] = []
    for run in runs:
        benchmarks = []
        for entry in {entry.id: entry for entry in run.benchmarks}.values():
            stats, why = _stats(entry), invalid_reason(run, entry)
            if why:
                invalid.append(f"{entry.id}: {why}")
            elif not stats:
                timeless.append(entry.id)
            else:
                benchmarks.append(_benchmark(run, entry, stats))
        if benchmarks:
            files[f"aibench-{file_word(run.run_id)}.json"] = json_text(_document(run, benchmarks))
    canaries = [name for run in runs for name in run.canaries]
    notes = [
        *left_out("invalid", invalid),
        *left_out("without a time", timeless),
        *left_out("canary", canaries),
        *unmeasured(runs),
    ]
    return Exported(files, notes)


def _document(run: Run, benchmarks: list[Json]) -> Json:
    return {
        "machine_info": _machine_info(run.environment),
        "commit_info": _commit_info(run.environment),
        "benchmarks": benchmarks,
        "datetime": moment(run.started_at).isoformat(),
        "version": _VERSION,
    }


def _machine_info(environment: Environment) -> dict[str, Json]:
    """Every field of theirs; null where a record does not know it."""
    hw, sw = environment.hw, environment.sw
    implementation, _, python = str(sw.get("python", "")).partition(" ")
    system, _, release = str(sw.get("kernel", "")).partition(" ")
    return {
        "node": environment.unit.get("hostname"),
        "processor": None,
        "machine": hw.get("architecture"),
        "python_compiler": None,
        "python_implementation": implementation,
        "python_implementation_version": python,
        "python_version": python,
        "python_build": None,
        "release": release,
        "system": system,
        "cpu": {"brand_raw": hw.get("cpu_model"), "count": hw.get("cpu_threads")},
    }


def _commit_info(environment: Environment) -> dict[str, Json]:
    subject = environment.subject
    return {
        "id": subject.get("commit", "unversioned"),
        "time": None,
        "author_time": None,
        "dirty": subject.get("dirty", False),
        "project": None,
        "branch": subject.get("branch", "(unknown)"),
    }


def _benchmark(run: Run, entry: BenchmarkEntry, stats: Json) -> Json:
    node = split_node_id(entry.id)
    origin = entry.provenance.get(_ORIGIN, {})
    ours = {
        "run_id": run.run_id,
        "verdict": entry.verdict,
        "precision": entry.precision,
        "hardware": hardware_class(run.environment, entry.device),
        "metrics": to_json(entry.metrics),
    }
    return {
        "group": origin.get("group", entry.kind),
        "name": node.name,
        "fullname": entry.id,
        "params": origin.get("params", entry.params or None),
        "param": node.parameters or None,
        "extra_info": {**origin.get("extra_info", {}), "aibench": ours},
        "options": origin.get("options") or _options(entry),
        "stats": stats,
    }


def _options(entry: BenchmarkEntry) -> dict[str, Json]:
    settings = entry.load.settings if entry.load else {}
    return {
        "disable_gc": None,
        "timer": None,
        "min_rounds": settings.get("min_queries"),
        "max_time": settings.get("budget_s"),
        "min_time": settings.get("min_duration_s"),
        "precision": None,
        "confidence": None,
        "warmup": None,
    }


def _stats(entry: BenchmarkEntry) -> dict[str, Json]:
    """Their statistics, in s; empty for a benchmark that timed nothing."""
    origin = entry.provenance.get(_ORIGIN)
    if origin:
        return dict(origin["stats"])
    buckets = _buckets(entry)
    return _statistics(buckets, _exact(entry)) if buckets else {}


def _buckets(entry: BenchmarkEntry) -> Buckets:
    """Latencies of a load, each as the middle of its bucket, or the one time of a training."""
    histogram = entry.load.histogram if entry.load else {}
    if histogram.get("counts"):
        growth, first = histogram["growth"], histogram["first"]
        return [
            (growth ** (first + index + 0.5) * 1e-9, count)
            for index, count in enumerate(histogram["counts"])
            if count
        ]
    trained = entry.metrics.get("time_to_quality_s")
    return [(trained.value, 1)] if trained is not None and trained.value is not None else []


def _exact(entry: BenchmarkEntry) -> dict[str, float]:
    """What the record knows better than its histogram."""
    metrics = {stat: entry.metrics.get(name) for stat, name in _EXACT.items()}
    return {
        stat: metric.value / 1e3
        for stat, metric in metrics.items()
        if metric is not None and metric.value is not None
    }


def _statistics(buckets: Buckets, exact: Mapping[str, float]) -> dict[str, Json]:
    rounds = sum(count for _, count in buckets)
    mean = exact.get("mean", sum(time * count for time, count in buckets) / rounds)
    squares = sum(count * (time - mean) ** 2 for time, count in buckets)
    stddev = math.sqrt(squares / max(1, rounds - 1))
    q1, median, q3 = (_quantile(buckets, share) for share in (0.25, 0.5, 0.75))
    iqr = q3 - q1
    inside = [(time, n) for time, n in buckets if q1 - 1.5 * iqr <= time <= q3 + 1.5 * iqr]
    iqr_outliers = rounds - sum(count for _, count in inside)
    stddev_outliers = sum(count for time, count in buckets if abs(time - mean) > stddev)
    return {
        "min": buckets[0][0],
        "max": buckets[-1][0],
        "mean": mean,
        "stddev": stddev,
        "rounds": rounds,
        "median": exact.get("median", median),
        "iqr": iqr,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": iqr_outliers,
        "stddev_outliers": stddev_outliers,
        "outliers": f"{stddev_outliers};{iqr_outliers}",
        "ld15iqr": inside[0][0],
        "hd15iqr": inside[-1][0],
        "ops": 1 / mean if mean else 0.0,
        "total": mean * rounds,
        "iterations": 1,
    }


def _quantile(buckets: Buckets, share: float) -> float:
    ranks = list(accumulate(count for _, count in buckets))
    return buckets[bisect_left(ranks, share * ranks[-1])][0]


def recognises(document: Json) -> bool:
    """Whether it has the parts of such a file."""
    parts = {"machine_info", "commit_info", "benchmarks", "datetime"}
    return isinstance(document, dict) and parts <= document.keys()


def imported(document: Json) -> Run:
    """The file as a record; the same file always becomes the same record.

    Raises:
        ValueError: It is not built as pytest-benchmark builds its files.
    """
    try:
        return _run(document)
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise ValueError(f"not built as pytest-benchmark does: {error!r}") from error


def _run(document: Json) -> Run:
    started = moment(document["datetime"])
    return Run(
        schema=SCHEMA,
        run_id=_run_id(document, started),
        started_at=started.isoformat(),
        finished_at=started.isoformat(),
        interrupted=False,
        environment=_environment(document),
        benchmarks=[_entry(benchmark) for benchmark in document["benchmarks"]],
    )


def _run_id(document: Json, started: datetime) -> str:
    """A ULID whose random part is the content's hash, so that no file is imported twice."""
    content = json.dumps(document, sort_keys=True).encode()
    drawn = int.from_bytes(hashlib.sha256(content).digest()[:10], "big")
    number = int(started.timestamp() * 1e3) << 80 | drawn
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def _environment(document: Json) -> Environment:
    machine, version = document["machine_info"], str(document.get("version", ""))
    cpu = machine.get("cpu") or {}
    python = (machine.get("python_implementation"), machine.get("python_implementation_version"))
    return Environment(
        hw=_known(
            cpu_model=cpu.get("brand_raw") or cpu.get("brand"),
            architecture=machine.get("machine"),
            cpu_threads=cpu.get("count"),
        ),
        unit=_known(hostname=machine.get("node")),
        sw=_known(
            python=_joined(*python),
            kernel=_joined(machine.get("system"), machine.get("release")),
            pytest_benchmark=version,
        ),
        subject=_subject(document["commit_info"]),
        harness={"pytest_aibench": IMPORTED, "imported_from": f"pytest-benchmark {version}"},
        state={},
    )


def _subject(commit: Mapping[str, Json]) -> dict[str, Json]:
    """The commit, if it is one: they write words where they know none."""
    revision, branch = str(commit.get("id")), str(commit.get("branch") or "")
    return _known(
        commit=revision if COMMIT.fullmatch(revision) else None,
        branch=None if branch.startswith("(") else branch,
        dirty=commit.get("dirty"),
    )


def _known(**facts: Json) -> dict[str, Json]:
    return {name: fact for name, fact in facts.items() if fact not in (None, "")}


def _joined(*words: Json) -> str:
    return " ".join(str(word) for word in words if word)


def _entry(benchmark: Mapping[str, Json]) -> BenchmarkEntry:
    stats = dict(benchmark["stats"])
    metrics = _metrics(stats, stats.pop("data", None))
    origin = {
        "group": benchmark.get("group"),
        "params": benchmark.get("params"),
        "extra_info": dict(benchmark.get("extra_info") or {}),
        "options": benchmark.get("options"),
        "stats": stats,
    }
    parameters = benchmark.get("params") or {}
    return BenchmarkEntry(
        id=str(benchmark["fullname"]),
        kind="micro",
        params={str(name): str(value) for name, value in parameters.items()},
        verdict="passed",
        metrics=metrics,
        provenance={_ORIGIN: origin},
    )


def _metrics(stats: Mapping[str, Json], data: Sequence[float] | None) -> dict[str, Metric]:
    n = int(stats["rounds"])
    return {
        "min_ms": _open(stats["min"], n, "a minimum has no interval"),
        **(_percentiles(data) if data else _quartiles(stats, n)),
        "mean_ms": _open(stats["mean"], n, "a mean of times has no distribution-free interval"),
    }


def _open(time_s: Json, n: int, why: str) -> Metric:
    return Metric(value=float(time_s) * 1e3, better="lower", n=n, why_open=why)


def _quartiles(stats: Mapping[str, Json], n: int) -> dict[str, Metric]:
    why = "the file has no times of rounds: write it with --benchmark-save-data"
    return {name: _open(stats[stat], n, why) for stat, name in _QUARTILES.items()}


def _percentiles(data: Sequence[float]) -> dict[str, Metric]:
    """Quartiles of the rounds with intervals, and those higher percentiles that have an upper end.

    Of fewer rounds they would be the slowest one, which tells nothing.
    """
    import numpy as np

    from pytest_aibench.bounds import CONFIDENCE
    from pytest_aibench.loadgen.percentiles import percentile_estimate

    times_ms = np.sort(np.asarray(data, dtype=np.float64)) * 1e3
    estimates = {name: percentile_estimate(times_ms, p) for name, p in _PERCENTILES.items()}
    return {
        name: Metric(
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            confidence=None if estimate.low is estimate.high is None else CONFIDENCE,
            n=len(data),
            better="lower",
            why_open=estimate.why_open,
        )
        for name, estimate in estimates.items()
        if name in _QUARTILES.values() or estimate.high is not None
    }
