"""Seeded histories for tests of the HTML report: noise, steps, upgrades, and an invalid run."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from pytest_aibench.bounds import Violation
from pytest_aibench.loadgen.histogram import GROWTH
from pytest_aibench.regression.change_points import ChangePoint
from pytest_aibench.report.page import Page
from pytest_aibench.report.page_data import History
from pytest_aibench.results.identity import SeriesKey
from pytest_aibench.results.index import Point
from pytest_aibench.results.schema import (
    BenchmarkEntry,
    CheckEntry,
    DatasetEntry,
    DeviceEntry,
    LoadEntry,
    Metric,
    PeakEntry,
    ProbeEntry,
)
from tests.records import CPU

HARDWARE = ("NVIDIA-H200-NVL-140GiB-600W", "cpu-AMD-EPYC-9B14-2c-24GiB")
TASKS = ("image_classification", "object_detection", "speech_recognition", "translation")
SCENARIOS = ("single_stream", "multi_stream-8", "server-50qps", "offline")
_START = datetime(2026, 1, 5, 9, tzinfo=timezone.utc)


def point(number: int, value: float, **facts: object) -> Point:
    """The figure of run ``number``; a run every six hours, a commit every second run."""
    fields = {
        "run_id": f"RUN{number:05}",
        "group_id": "",
        "started_at": (_START + timedelta(hours=6 * number)).isoformat(),
        "commit": f"{number // 2 * 2654435761 % 2**32:08x}{'0' * 32}",
        "branch": "main",
        "dirty": False,
        "value": value,
        "low": value * 0.98,
        "high": value * 1.02,
        "n": 500,
        "better": "lower",
        "invalid": "",
        "factors": factors(number),
    }
    return Point(**{**fields, **facts})  # type: ignore[arg-type]


def factors(number: int) -> dict[str, str]:
    """An upgrade of torch at run 40 and of the driver at run 70; two hosts by turns."""
    return {
        "sw.torch": "2.12.1" if number < 40 else "2.13.0",
        "sw.driver": "610.12" if number < 70 else "615.30",
        "sw.python": "CPython 3.11.7",
        "unit.hostname": f"node-{number % 2}",
        "subject.commit": str(number),
    }


def key(benchmark: str, metric: str, hardware: str = HARDWARE[0]) -> SeriesKey:
    return SeriesKey(benchmark=benchmark, metric=metric, hardware=hardware, setup="9f2c01ab")


def check(name: str, unit: str, bound: str, limit: float, verdict: str, value: float) -> CheckEntry:
    return CheckEntry(
        name=name,
        value=value,
        low=value * 0.98,
        high=value * 1.02,
        unit=unit,
        bound=bound,
        limit=limit,
        margin=0.1,
        verdict=verdict,
        reason="" if verdict == "passed" else "the interval lies beyond the bound",
    )


def noisy(generator: random.Random, levels: Sequence[tuple[int, float]], n: int) -> list[Point]:
    """Points around levels, given as pairs of first run and height."""
    points = []
    for number in range(n):
        level = [height for first, height in levels if first <= number][-1]
        value = level * math.exp(generator.gauss(0, 0.02))
        invalid = "the GPU was throttled" if number == n // 3 else ""
        points.append(point(number, value * (1.3 if invalid else 1.0), invalid=invalid))
    return points


def noisy_points(n: int) -> list[Point]:
    """A history that does not change."""
    return noisy(random.Random(0), [(0, 12.0)], n)


def load(generator: random.Random, middle_ms: float) -> LoadEntry:
    latencies = [middle_ms * 1e6 * math.exp(generator.gauss(0, 0.12)) for _ in range(2000)]
    latencies += [latency * 1.8 for latency in latencies[:30]]
    buckets = [math.floor(math.log(latency) / math.log(GROWTH)) for latency in latencies]
    counts = [0] * (max(buckets) - min(buckets) + 1)
    for bucket in buckets:
        counts[bucket - min(buckets)] += 1
    return LoadEntry(
        scenario="server",
        settings={},
        stopped="decided",
        n_queries=len(latencies),
        n_samples=len(latencies),
        duration_s=40.0,
        histogram={"growth": GROWTH, "first": min(buckets), "counts": counts},
    )


def metric(value: float, better: str = "lower") -> Metric:
    return Metric(value=value, low=value * 0.98, high=value * 1.02, better=better, n=500)


def dataset(name: str) -> DatasetEntry:
    return DatasetEntry(
        name=name, fingerprint="e069", split="test", n_samples=359, licence="CC0-1.0", source="x"
    )


def load_histories(seed: int, name: str, hardware: str, verdict: str, n: int) -> list[History]:
    """A benchmark with p99 (bounded, slower since run 80), p50, throughput and top1."""
    generator = random.Random(seed)
    middle = generator.uniform(2, 40)
    levels = [(0, middle), (80, middle * generator.choice((1.0, 1.0, 1.12, 0.9)))]
    latencies = noisy(generator, levels, n)
    p99, rate, quality = latencies[-1].value, 1000 / middle, generator.uniform(0.9, 0.99)
    limit_s = p99 * (1.2 if verdict == "passed" else 0.95) / 1e3
    entry = BenchmarkEntry(
        id=name,
        kind="inference",
        params={},
        verdict=verdict,
        precision=generator.choice(("fp32", "bf16")),
        device=DeviceEntry(id="cuda:0", kind="cuda", name="NVIDIA H200 NVL", memory_bytes=None),
        dataset=dataset("digits"),
        load=load(generator, p99 / 1.35),
        metrics={
            "p50_ms": metric(p99 / 1.35),
            "p99_ms": metric(p99),
            "throughput_samples_per_s": metric(rate, "higher"),
            "top1": metric(quality, "higher"),
        },
        checks=[
            check("p99", "s", f"≤ {limit_s * 1e3:.3g} ms", limit_s, verdict, p99 / 1e3),
            check("top1", "", "≥ 0.9", 0.9, "passed", quality),
        ],
        violations=[Violation(rule="shared device", evidence="2 others")] * (verdict == "invalid"),
    )
    changes = [changed(latencies, 80)] if n > 80 and levels[0][1] != levels[1][1] else []
    columns = {
        "p50_ms": [one._replace(value=one.value / 1.35, low=None, high=None) for one in latencies],
        "p99_ms": latencies,
        "throughput_samples_per_s": higher(generator, rate, n),
        "top1": higher(generator, quality, n),
    }
    return [
        History(
            key=key(name, figure, hardware),
            points=points,
            changes=changes if figure == "p99_ms" else [],
            entry=entry,
        )
        for figure, points in columns.items()
    ]


def higher(generator: random.Random, level: float, n: int) -> list[Point]:
    points = noisy(generator, [(0, level)], n)
    return [one._replace(better="higher") for one in points]


def changed(points: Sequence[Point], index: int) -> ChangePoint:
    """The change at that index, for latencies."""
    before, after = (
        statistics.median(one.value for one in side) for side in (points[:index], points[index:])
    )
    return ChangePoint(
        index=index,
        before=before,
        after=after,
        ratio=after / before,
        interval=(after / before - 0.02, after / before + 0.02),
        worse=after > before,
        confirmed=True,
        votes=("partition",),
    )


def peak_history(seed: int, name: str, hardware: str, n: int) -> History:
    """A search for the highest rate: a queue whose latency grows towards its capacity."""
    generator = random.Random(seed)
    capacity = generator.uniform(80, 400)
    loads = [capacity * share for share in (0.1, 0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.97)]
    probes = [
        ProbeEntry(
            load=rate,
            n_queries=400,
            n_over=0,
            percentile_ms=8 / (1 - rate / capacity),
            duration_s=4.0,
            verdict="passed" if 8 / (1 - rate / capacity) < 100 else "failed",
            replication=0.8 * capacity < rate,
        )
        for rate in loads
    ]
    entry = BenchmarkEntry(
        id=name,
        kind="inference",
        params={},
        verdict="passed",
        device=CPU,
        dataset=dataset("digits"),
        peak=PeakEntry(
            scenario="server",
            settings={},
            unit="queries/s",
            percentile=0.99,
            bound_ms=100.0,
            stopped="found",
            curve=probes,
        ),
        metrics={"peak_qps": metric(0.92 * capacity, "higher"), "top1": metric(0.97, "higher")},
        checks=[check("peak_qps", "queries/s", "≥ 50 queries/s", 50.0, "passed", 0.92 * capacity)],
    )
    points = higher(generator, 0.92 * capacity, n)
    return History(key=key(name, "peak_qps", hardware), points=points, entry=entry)


def example_page(n_benchmarks: int = 12, n_runs: int = 100) -> Page:
    """A page with every kind of chart and verdict."""
    verdicts = ("passed", "passed", "failed", "passed", "inconclusive", "invalid")
    histories = []
    for number in range(n_benchmarks):
        hardware, verdict = HARDWARE[number % 2], verdicts[number % len(verdicts)]
        task, scenario = TASKS[number // 4 % 4], SCENARIOS[number % 4]
        name = f"benchmarks/test_components.py::test_inference[{task}-{scenario}-{number}]"
        histories += load_histories(number, name, hardware, verdict, n_runs)
        if number % 4 == 0:
            name = f"benchmarks/test_peaks.py::test_peak[{task}-{number}]"
            histories.append(peak_history(number, name, hardware, n_runs))
    return Page(title="Benchmarks", made_at="2026-11-22T19:00:00+00:00", histories=histories)
