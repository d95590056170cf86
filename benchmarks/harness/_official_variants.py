"""Runs the official LoadGen in ways that the oracle does not, in a process of its own.

It reads ``{"interface": "list" or "fast", "busy": bool, "settings": {...}}`` from standard input
and prints one JSON line with the figures. Standing alone, it crashes or hangs nothing else.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness._busy import busy_torch
from benchmarks.harness.official_logs import parse_detail, parse_trace

N_SAMPLES = 1024

mlperf: Any = import_module("mlperf_loadgen")  # has no types


def main() -> None:
    """Run what standard input asks for."""
    request = json.load(sys.stdin)
    with (
        busy_torch() if request["busy"] else nullcontext(),
        tempfile.TemporaryDirectory() as folder,
    ):
        print(json.dumps(_run(request, Path(folder))))


def _run(request: dict[str, Any], folder: Path) -> dict[str, float]:
    fast = request["interface"] == "fast"
    system = (
        mlperf.ConstructFastSUT(_complete_fast, _nothing)
        if fast
        else mlperf.ConstructSUT(_complete, _nothing)
    )
    library = mlperf.ConstructQSL(N_SAMPLES, N_SAMPLES, _nothing, _nothing)
    mlperf.StartTestWithLogSettings(
        system, library, _settings(request["settings"]), _logs(folder, request["busy"])
    )
    log = parse_detail((folder / "mlperf_log_detail.txt").read_text())
    trace = parse_trace(folder / "mlperf_log_trace.json")
    lateness = np.percentile(trace.lateness_ns, 99) if request["busy"] else 0.0
    return {
        "samples_per_s": float(log[key]) if (key := "result_samples_per_second") in log else 0.0,
        "lateness_p99_us": float(lateness) / 1e3,
    }


def _complete(samples: list[Any]) -> None:
    mlperf.QuerySamplesComplete([mlperf.QuerySampleResponse(s.id, 0, 0) for s in samples])


def _complete_fast(ids: list[int], indices: list[int]) -> None:
    mlperf.QuerySamplesComplete([mlperf.QuerySampleResponse(id, 0, 0) for id in ids])


def _nothing(*_: object) -> None:
    pass


def _settings(given: dict[str, Any]) -> Any:
    settings = mlperf.TestSettings()
    settings.scenario = getattr(mlperf.TestScenario, given.pop("scenario"))
    for name, value in given.items():
        setattr(settings, name, value)
    return settings


def _logs(folder: Path, trace: bool) -> Any:
    output = mlperf.LogOutputSettings()
    output.outdir = str(folder)
    logs = mlperf.LogSettings()
    logs.log_output = output
    logs.enable_trace = trace
    return logs


if __name__ == "__main__":
    main()
