"""Runs MLPerf's official LoadGen with a null system under test; started as a process by `oracle`.

Reads a JSON list of runs from stdin and writes one JSON line per finished run to stdout; LoadGen
leaves its logs in each run's own folder. LoadGen ends or hangs the process on many mistakes, so
this module imports nothing it would hurt, and never raises in a callback.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

mlperf: Any = import_module("mlperf_loadgen")  # has no types

Serve = Callable[[list[Any]], None]

_NO_AUDIT = "no-audit.config"


def main() -> None:
    """Run what stdin asks for."""
    for run in json.load(sys.stdin):
        print(json.dumps(_run(run)), flush=True)


def _run(run: dict[str, Any]) -> dict[str, Any]:
    """Run one test; the answer holds what LoadGen's own logs do not tell."""
    loaded: list[list[int]] = []
    serve = _delayed(run["delays_s"]) if run["delays_s"] else _complete
    issue = _on_worker(serve) if run["completion"] == "worker" else serve
    sut = mlperf.ConstructSUT(issue, _nothing)
    library = mlperf.ConstructQSL(run["total"], run["performance_count"], loaded.append, _nothing)
    rss_before_bytes = _memory_bytes("VmRSS")
    mlperf.StartTestWithLogSettings(
        sut, library, _test_settings(run), _log_settings(run), _NO_AUDIT
    )
    returned_at_s = time.time()
    answer = {
        "sets": loaded,
        "returned_at_s": returned_at_s,
        "rss_before_bytes": rss_before_bytes,
        "rss_after_bytes": _memory_bytes("VmRSS"),
        "peak_rss_bytes": _memory_bytes("VmHWM"),
    }
    mlperf.DestroyQSL(library)
    mlperf.DestroySUT(sut)
    return answer


def _complete(samples: list[Any]) -> None:
    mlperf.QuerySamplesComplete([mlperf.QuerySampleResponse(s.id, 0, 0) for s in samples])


def _delayed(delays_s: list[float]) -> Serve:
    def serve(samples: list[Any]) -> None:
        for sample in samples:
            time.sleep(delays_s[sample.index])
            _complete([sample])

    return serve


def _on_worker(serve: Serve) -> Serve:
    queue: SimpleQueue[list[Any]] = SimpleQueue()

    def work() -> None:
        while True:
            serve(queue.get())

    Thread(target=work, daemon=True).start()
    return queue.put


def _nothing(*_: object) -> None:
    pass


def _test_settings(run: dict[str, Any]) -> Any:
    # Set in code: reading configuration files works only once in a process.
    settings = mlperf.TestSettings()
    settings.scenario = getattr(mlperf.TestScenario, run["scenario"])
    settings.mode = getattr(mlperf.TestMode, run["mode"])
    for name, value in run["settings"].items():
        setattr(settings, name, value)
    return settings


def _log_settings(run: dict[str, Any]) -> Any:
    output = mlperf.LogOutputSettings()
    output.outdir = run["folder"]
    log = mlperf.LogSettings()
    log.log_output = output
    log.enable_trace = run["trace"]
    return log


def _memory_bytes(field: str) -> int:
    # Not getrusage: its maximum starts from that of the process that started this one.
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return 0


if __name__ == "__main__":
    main()
