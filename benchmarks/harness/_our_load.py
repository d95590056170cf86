"""Runs one load of ours with a null system, in a process of its own.

It reads ``{"scenario": ..., "arguments": {...}, "watched": bool, "worker": bool, "busy": bool,
"trace": bool}`` from standard input and prints one JSON line with the figures. The load does its
full job: checks of the outputs, a sample of the answers and, where it is watched, looks at two
bounds. The whole run is from the call that starts it until its figures are known and, where it is
wanted, its trace is on disk.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

import pytest_aibench
from benchmarks.harness._busy import busy_torch
from pytest_aibench import BatchingServer, SingleStream, at_most
from pytest_aibench.datasets.base import Dataset
from pytest_aibench.inference.result import PERCENTILES, LoadResult
from pytest_aibench.inference.runner import LoadGenerator
from pytest_aibench.loadgen.effort import Effort
from pytest_aibench.loadgen.histogram import from_latencies
from pytest_aibench.loadgen.mlperf_trace import write_trace
from pytest_aibench.loadgen.percentiles import percentile_figure
from pytest_aibench.outcome import Outcome

N_SAMPLES = 1024


def main() -> None:
    """Run what standard input asks for."""
    request = json.load(sys.stdin)
    scenario = getattr(pytest_aibench, request["scenario"])(**request["arguments"])
    model: Any = BatchingServer(_null) if request["worker"] else _null
    samples = np.zeros((N_SAMPLES, 1), np.float32)
    data = Dataset("null", "test", samples, np.zeros(N_SAMPLES, np.int64), "none", "made up")
    generator = _generator(request["watched"])
    few = SingleStream(min_queries=100, min_duration="1 ms")
    _figures(generator.run(_null, data, few), 0)  # imports what is imported on first use
    before = _memory_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    with (
        busy_torch() if request["busy"] else nullcontext(),
        tempfile.TemporaryDirectory() as folder,
    ):
        start_ns = perf_counter_ns()
        result = generator.run(model, data, scenario, bounds={"p90": at_most("1 s")})
        figures = _figures(result, before)
        if request["trace"]:
            _write_trace(Path(folder), result)
        whole_s = (perf_counter_ns() - start_ns) / 1e9
    print(json.dumps({**figures, "whole_run_per_s": len(result.load.sizes) / whole_s}))


def _null(samples: Sequence[Any]) -> Sequence[Any]:
    return samples


def _generator(watched: bool) -> LoadGenerator:
    effort = Effort("harness", min_duration_s=1.0, budget_s=60.0, sequential=watched)
    return LoadGenerator(effort=effort, settle=_settle, memory={})


def _settle(result: LoadResult, outcome: Outcome) -> None:
    pass


def _figures(result: LoadResult, before: int) -> dict[str, float]:
    load = result.load
    for name in (*map(percentile_figure, PERCENTILES), "mean", "throughput"):
        result.estimate(name)
    from_latencies(load.latency_ns)
    known_ns, peak = perf_counter_ns(), _memory_bytes("VmHWM")
    queries = len(load.sizes)
    return {
        "samples_per_s": float(load.sizes.sum()) / load.duration_s,
        "scheduled_per_s": queries / max(float(load.due_ns[-1]) / 1e9, 1e-9),
        "lateness_p50_us": float(np.percentile(load.lateness_ns, 50)) / 1e3,
        "lateness_p99_us": float(np.percentile(load.lateness_ns, 99)) / 1e3,
        "latency_p99_ms": float(np.percentile(load.latency_ns, 99)) / 1e6,
        "post_run_s": (known_ns - load.begin_ns) / 1e9 - load.duration_s,
        "mb_per_million": (peak - before) / queries,
    }


def _write_trace(folder: Path, result: LoadResult) -> None:
    samples = np.resize(np.arange(N_SAMPLES), len(result.load.sizes))
    write_trace(folder / "mlperf_log_trace.json", result.load, samples)


def _memory_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return 0


if __name__ == "__main__":
    main()
