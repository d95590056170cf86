"""MLPerf's official LoadGen as an oracle: what it loads, issues, schedules and concludes.

It always runs in a process of its own under a watchdog, because a wrong setting or a lost sample
crashes or hangs it. To measure its speed, write runs (a JSON list of the fields of `OfficialRun`)
to the standard input of ``python -m benchmarks.harness.oracle``; each gets a fresh process, and
its `OfficialSpeed` is printed as one line of JSON.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.harness.official_logs import (
    DetailLog,
    SampleTrace,
    parse_accuracy,
    parse_detail,
    parse_trace,
)
from pytest_aibench.errors import UserError

PERCENTILES = ("50.00", "90.00", "95.00", "97.00", "99.00", "99.90")
"""The percentiles LoadGen reports, as its log spells them."""

_RUNNER = "benchmarks.harness._official_runner"


class OracleError(RuntimeError):
    """The official LoadGen crashed or hung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialRun:
    """One run of the official LoadGen with a null system under test.

    Attributes:
        scenario: Name of LoadGen's scenario.
        mode: Name of LoadGen's mode.
        total: Samples in the library.
        performance_count: Samples that the library says fit in memory.
        settings: Attributes of LoadGen's ``TestSettings`` by name; the others keep its defaults.
        delays_s: Seconds the system sleeps on each sample, by sample index; none by default.
        completion: Complete in the issuing call, or by a worker thread behind a ``SimpleQueue``.
        trace: Write the trace, the source of `OfficialResult.samples`; it costs speed.
    """

    scenario: Literal["SingleStream", "MultiStream", "Server", "Offline"]
    mode: Literal["PerformanceOnly", "AccuracyOnly"] = "PerformanceOnly"
    total: int
    performance_count: int
    settings: Mapping[str, float] = field(default_factory=dict)
    delays_s: Sequence[float] = ()
    completion: Literal["inline", "worker"] = "inline"
    trace: bool = True

    def __post_init__(self) -> None:
        if self.delays_s and len(self.delays_s) != self.total:
            raise UserError(
                f"delays_s has {len(self.delays_s)} entries: "
                f"give one for each of the {self.total} samples"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OfficialResult:
    """What the official LoadGen did in one run.

    Attributes:
        sets: Sample indices of each set it loaded.
        samples: The samples it issued; empty for a run without trace.
        log: Its detail log.
        accuracy_log: Numbers, in order of issue, of the samples it logged for accuracy.
        post_run_s: From the last completion to the return of the test.
        rss_before_bytes: Resident memory before the test.
        rss_after_bytes: Resident memory after it.
        peak_rss_bytes: Largest resident memory of the process so far.
    """

    sets: list[list[int]]
    samples: SampleTrace
    log: DetailLog
    accuracy_log: list[int]
    post_run_s: float
    rss_before_bytes: int
    rss_after_bytes: int
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How the runner's process ended; its status is None if it was killed because it hung."""

    status: int | None
    stdout: bytes
    last_words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialSpeed:
    """The figures of a speed comparison; percentiles by their names in `PERCENTILES`.

    Attributes:
        samples_per_s: Throughput, LoadGen's own overhead included.
        latency_ns: Latencies, of whole queries in the multi-stream scenario.
        lateness_ns: Issue lateness; None for a run without trace.
        post_run_s: See `OfficialResult`.
        rss_before_bytes: See `OfficialResult`.
        rss_after_bytes: See `OfficialResult`.
        peak_rss_bytes: See `OfficialResult`.
    """

    samples_per_s: float
    latency_ns: dict[str, int]
    lateness_ns: dict[str, float] | None
    post_run_s: float
    rss_before_bytes: int
    rss_after_bytes: int
    peak_rss_bytes: int


def is_installed() -> bool:
    """Whether the official LoadGen can be run."""
    return importlib.util.find_spec("mlperf_loadgen") is not None


def run_official(runs: Sequence[OfficialRun], timeout_s: float = 30.0) -> list[OfficialResult]:
    """Run the official LoadGen, one run after another in one process.

    Args:
        runs: What to run.
        timeout_s: The process is killed after so many seconds, and what it left is run once more.

    Raises:
        UserError: The official LoadGen is not installed.
        OracleError: It crashed or hung.
    """
    if not is_installed():
        raise UserError(
            "the official LoadGen is not installed: pip install 'pytest-aibench[oracle]'"
        )
    with tempfile.TemporaryDirectory(prefix="aibench-oracle-") as root:
        folders = [Path(root, str(number)) for number in range(len(runs))]
        for folder in folders:
            folder.mkdir()
        pairs = zip(runs, folders, strict=True)
        request = [{**asdict(run), "folder": str(folder)} for run, folder in pairs]
        answers = _run_patiently(request, Path(root), timeout_s)
        return [_read_result(*pair) for pair in zip(folders, answers, strict=True)]


def measure_speed(run: OfficialRun, timeout_s: float = 30.0) -> OfficialSpeed:
    """Run the official LoadGen once, in a fresh process, and take its speed.

    Raises:
        UserError: The official LoadGen is not installed.
        OracleError: It crashed or hung.
    """
    (result,) = run_official([run], timeout_s)
    kind = "per_query_latency" if run.scenario == "MultiStream" else "latency"
    return OfficialSpeed(
        samples_per_s=_samples_per_s(result.log),
        latency_ns={p: result.log[f"result_{p}_percentile_{kind}_ns"] for p in PERCENTILES},
        lateness_ns=_lateness_ns(result.samples) if run.trace else None,
        post_run_s=result.post_run_s,
        rss_before_bytes=result.rss_before_bytes,
        rss_after_bytes=result.rss_after_bytes,
        peak_rss_bytes=result.peak_rss_bytes,
    )


def main() -> None:
    """Measure the speed of the runs on standard input."""
    for fields in json.load(sys.stdin):
        print(json.dumps(asdict(measure_speed(OfficialRun(**fields)))), flush=True)


def _run_patiently(request: list[dict[str, Any]], folder: Path, timeout_s: float) -> list[Any]:
    """Run all; a run that hangs gets a second process, for on a busy machine some hang by chance.

    One run in some thousands did, with a null system that answers in the issuing call.
    """
    answers: list[Any] = []
    hung_at: int | None = None
    while len(answers) < len(request):
        outcome = _run_process(request[len(answers) :], folder, timeout_s)
        answers += [json.loads(line) for line in outcome.stdout.splitlines()]
        if outcome.status == 0:
            break
        where = _where(len(answers), request)
        if outcome.status is not None:
            raise OracleError(
                f"the official LoadGen ended {where} with status {outcome.status}: "
                f"{outcome.last_words}"
            )
        if hung_at == len(answers):
            raise OracleError(
                f"the official LoadGen hung twice {where}: killed after {timeout_s:g} s"
            )
        hung_at = len(answers)
    return answers


def _run_process(request: list[dict[str, Any]], folder: Path, timeout_s: float) -> _Outcome:
    """Start the runner, in a folder without the ``audit.config`` that would override settings."""
    try:
        process = subprocess.run(
            [sys.executable, "-m", _RUNNER],
            input=json.dumps(request).encode(),
            capture_output=True,
            cwd=folder,
            env=_environment(),
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as expired:
        return _Outcome(None, expired.stdout or b"", "")
    last_words = process.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return _Outcome(process.returncode, process.stdout, last_words)


def _environment() -> dict[str, str]:
    """The environment, with this package importable from any folder."""
    package_root = str(Path(__file__).parents[2])
    search_path = filter(None, [package_root, os.environ.get("PYTHONPATH")])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(search_path)}


def _where(number: int, request: list[dict[str, Any]]) -> str:
    if number == len(request):
        return "after the last run"
    return f"in run {number + 1} of {len(request)} ({request[number]['scenario']})"


def _read_result(folder: Path, answer: dict[str, Any]) -> OfficialResult:
    log = parse_detail((folder / "mlperf_log_detail.txt").read_text())
    return OfficialResult(
        samples=parse_trace(folder / "mlperf_log_trace.json"),
        log=log,
        accuracy_log=parse_accuracy((folder / "mlperf_log_accuracy.json").read_text()),
        post_run_s=answer.pop("returned_at_s") - _moment_s(log, "power_end"),
        **answer,
    )


def _samples_per_s(log: DetailLog) -> float:
    for key in ("result_completed_samples_per_sec", "result_samples_per_second"):
        if key in log:
            return float(log[key])
    samples = log["result_query_count"] * log["generated_samples_per_query"]
    return float(samples / (_moment_s(log, "power_end") - _moment_s(log, "power_begin")))


def _moment_s(log: DetailLog, key: str) -> float:
    """Wall-clock time of the first issue or the last completion, to the millisecond."""
    return datetime.strptime(log[key], "%m-%d-%Y %H:%M:%S.%f").timestamp()


def _lateness_ns(samples: SampleTrace) -> dict[str, float]:
    return {p: float(np.percentile(samples.lateness_ns, float(p))) for p in PERCENTILES}


if __name__ == "__main__":
    main()
