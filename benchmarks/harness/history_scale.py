"""What a long history costs: an index over 10,000 runs of 500 benchmarks, and adding one more.

The records are generated, because measuring them would take months: one figure per benchmark, and
all else as in real ones, but for their histograms and checks. Beside it stands pytest-benchmark
comparing as many runs as it can bear: it keeps a run in a file, too, and reads all of them whole.

Run it from the repository with ``python -m benchmarks.harness.history_scale``; the full history
needs 5 GB of disk.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

from benchmarks.harness._rows import Row, run
from pytest_aibench.commands.store import show_progress
from pytest_aibench.regression.baseline import Policy
from pytest_aibench.regression.gate import gate
from pytest_aibench.results.index import Index, Progress
from pytest_aibench.results.locations import LocalStore
from pytest_aibench.results.schema import (
    SCHEMA,
    BenchmarkEntry,
    DatasetEntry,
    DeviceEntry,
    Environment,
    LoadEntry,
    Metric,
    Run,
)
from pytest_aibench.results.store import new_run_id, record_text, run_name, write_run

METRICS = ("p99_ms",)
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
BASELINE_RUNS = 30
REPEATS = 5

_VALUE = 1234567.25
"""Stands in the template where a figure will."""

_POOL = 5000
"""Different figures."""


@dataclass(frozen=True, slots=True)
class Size:
    """How long a history is.

    Attributes:
        runs: Sessions.
        benchmarks: Benchmarks of each.
        other_runs: Sessions that pytest-benchmark is given.
    """

    runs: int = 10_000
    benchmarks: int = 500
    other_runs: int = 100


def measure(size: Size = Size()) -> list[Row]:
    """Generate a store, index it, read from the index, and add runs."""
    folder = Path(tempfile.mkdtemp(prefix="aibench-history-"))
    try:
        os.environ["AIBENCH_CACHE"] = str(folder / "cache")
        store = LocalStore(folder / "store")
        generate(store, size)
        other_s = _other_s(folder, size)
        return [
            *_index_rows(store, size, other_s),
            *_gate_rows(store, size),
            *_append_rows(store, size),
        ]
    finally:
        shutil.rmtree(folder)


def generate(store: LocalStore, size: Size) -> None:
    """Fill a store with runs an hour apart whose figures scatter by 2 %."""
    chance = random.Random(1)
    pool = [f"{chance.gauss(100, 2):.6f}" for _ in range(_POOL)]
    parts = record_text(_template(size)).split(json.dumps(_VALUE))
    pieces = [""] * (2 * len(parts) - 1)
    pieces[::2] = parts
    for number in range(size.runs):
        started_at = (START + timedelta(hours=number)).isoformat()
        facts = {"STARTED": started_at, "COMMIT": f"{number:040x}", "RUN_ID": new_run_id()}
        pieces[1::2] = chance.choices(pool, k=len(parts) - 1)
        text = "".join(pieces)
        for word, fact in facts.items():
            text = text.replace(word, fact)
        empty = _template(Size(benchmarks=0))
        path = store.fetch(run_name(replace(empty, started_at=started_at, run_id=facts["RUN_ID"])))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")


def _template(size: Size) -> Run:
    return Run(
        schema=SCHEMA,
        run_id="RUN_ID",
        started_at="STARTED",
        finished_at="STARTED",
        interrupted=False,
        environment=_environment(),
        benchmarks=[_benchmark(number) for number in range(size.benchmarks)],
    )


def _environment() -> Environment:
    return Environment(
        hw={"cpu_model": "a processor", "cpu_usable": 16, "memory_gib": 62.8},
        unit={"hostname": "runner-1", "machine_id_sha256": "0" * 16},
        sw={f"package_{number}": f"1.{number}" for number in range(12)},
        subject={"commit": "COMMIT", "branch": "main", "dirty": False, "shallow": False},
        harness={"pytest_aibench": "0.1.0", "effort": "standard", "scale": "embedded"},
        state={"before": {"load_1min": 0.1}, "after": {"load_1min": 1.2}},
    )


def _benchmark(number: int) -> BenchmarkEntry:
    device = DeviceEntry(id="cpu", kind="cpu", name="a processor", memory_bytes=1 << 36)
    dataset = DatasetEntry(
        name="digits", fingerprint="0" * 64, split="test", n_samples=1797, licence="", source=""
    )
    load = LoadEntry(
        scenario="single_stream",
        settings={"min_duration": "2 s", "percentile": 0.9},
        stopped="minimum met",
        n_queries=5000,
        n_samples=5000,
        duration_s=2.0,
    )
    figure = Metric(value=_VALUE, low=_VALUE, high=_VALUE, confidence=0.99, n=5000, better="lower")
    return BenchmarkEntry(
        id=f"tests/test_models.py::test_model[cpu-fp32-model_{number}]",
        kind="inference",
        params={},
        verdict="passed",
        precision="fp32",
        device=device,
        dataset=dataset,
        load=load,
        metrics=dict.fromkeys(METRICS, figure),
    )


def _index_rows(store: LocalStore, size: Size, other_s: float) -> list[Row]:
    progress = partial(show_progress, started_s=time.monotonic())
    rebuild_s = _seconds(lambda: _open(store, lambda _: None, progress))
    open_s = _median_s(lambda: _open(store, lambda _: None))
    first_s = _median_s(lambda: _open(store, lambda index: index.points(index.series()[0])))
    with Index.opened(store) as index:
        keys = index.series()
        one_s = _median_s(lambda: index.points(keys[0]))
    with Index.opened(store) as index:
        latest_s = _seconds(lambda: index.latest(keys, BASELINE_RUNS))
    files = Path(os.environ["AIBENCH_CACHE"]).rglob("*.sqlite")
    return [
        _row("runs", size.runs),
        _row("series", len(keys)),
        _row("size of the records, MB", sum(file.size_bytes for file in store.files()) / 1e6),
        _row("size of the index, MB", sum(path.stat().st_size for path in files) / 1e6),
        _row("index rebuilt, s", rebuild_s),
        _row("index opened, nothing new, ms", 1e3 * open_s),
        Row(
            f"one benchmark over its history, s (the other: {size.other_runs} runs)",
            *(round(first_s, 4), round(other_s, 4), round(first_s / other_s, 4), "none", True),
        ),
        _row("one series of all runs, ms", 1e3 * one_s, 20),
        _row(f"last {BASELINE_RUNS} runs of all series, ms", 1e3 * latest_s, 1000),
    ]


def _gate_rows(store: LocalStore, size: Size) -> list[Row]:
    """A session of all benchmarks held against the latest runs, the index being open."""
    session = replace(_template(size), run_id=new_run_id(), started_at=START.isoformat())
    with Index.opened(store) as index:
        first_s = _seconds(lambda: gate([session], index, Policy()))
        again_s = _median_s(lambda: gate([session], index, Policy()))
    return [
        _row("gate a session, ms", 1e3 * again_s, 1000),
        _row("the first time in a process, ms", 1e3 * first_s),
    ]


def _append_rows(store: LocalStore, size: Size) -> list[Row]:
    """A run that was measured, from its end until the index has it."""
    template = _template(size)
    write_s, index_s = [], []
    for number in range(REPEATS):
        started = START + timedelta(days=9999, hours=number)
        one_more = replace(template, run_id=new_run_id(), started_at=started.isoformat())
        write_s.append(_seconds(partial(write_run, store, one_more)))
        index_s.append(_seconds(lambda: _open(store, lambda _: None)))
    return [
        _row("append a run, ms", 1e3 * statistics.median(write_s), 50),
        _row("index opened, one run new, ms", 1e3 * statistics.median(index_s)),
    ]


def _other_s(folder: Path, size: Size) -> float:
    """What pytest-benchmark needs to show one benchmark in all runs that it is given."""
    storage = folder / "other" / "machine"
    storage.mkdir(parents=True)
    benchmarks = [_other_benchmark(number) for number in range(size.benchmarks)]
    for number in range(size.other_runs):
        record = {
            "machine_info": {},
            "commit_info": {"id": f"{number:040x}", "time": START.isoformat(), "dirty": False},
            "benchmarks": benchmarks,
            "datetime": (START + timedelta(hours=number)).isoformat(),
            "version": "5.1.0",
        }
        path = storage / f"{number:04}_run.json"
        path.write_text(json.dumps(record), encoding="ascii")
    command = [sys.executable, "-m", "pytest_benchmark", f"--storage={storage.parent}"]
    compare = [*command, "compare", "-k", "model_0", "--columns=median"]
    return _seconds(partial(subprocess.run, compare, capture_output=True, check=True))


def _other_benchmark(number: int) -> dict[str, object]:
    figures = ("min", "max", "mean", "stddev", "median", "iqr", "q1", "q3", "ops", "total")
    counts = {"rounds": 100, "iterations": 1, "iqr_outliers": 0, "stddev_outliers": 0}
    counts |= {"ld15iqr": 1, "hd15iqr": 1}
    return {
        "group": None,
        "name": f"test_model[model_{number}]",
        "fullname": f"tests/test_models.py::test_model[model_{number}]",
        "params": {"model": f"model_{number}"},
        "param": f"model_{number}",
        "extra_info": {},
        "options": {"disable_gc": False, "timer": "perf_counter", "min_rounds": 5},
        "stats": {**dict.fromkeys(figures, 0.1), **counts, "outliers": "0;0"},
    }


def _open(store: LocalStore, then: Callable[[Index], object], *progress: Progress) -> None:
    with Index.opened(store, *progress) as index:
        then(index)


def _row(measure: str, ours: float, limit: float | None = None) -> Row:
    goal = "none" if limit is None else f"at most {limit:g}"
    return Row(measure, round(ours, 2), None, None, goal, limit is None or ours <= limit)


def _median_s(act: Callable[[], object]) -> float:
    return statistics.median(_seconds(act) for _ in range(REPEATS))


def _seconds(act: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    act()
    return time.perf_counter() - started_s


if __name__ == "__main__":
    raise SystemExit(run(__doc__.splitlines()[0], measure))
