"""Our load generator beside MLPerf's official one: speed, punctuality, memory.

Both load a null system, in turn, each run in a fresh process; figures are medians over pairs of
runs. Ours does its full job meanwhile: it looks at a bound, checks outputs, samples answers. Its
journal keeps every stamp and cannot be switched off, while the official trace costs time: that is
switched on only where the official lateness is read, and where the row is about traces, which both
tools then write to disk. The official lateness ends before the callback has the interpreter lock;
ours includes the wait for it.

Run it from the repository with ``python -m benchmarks.harness.loadgen_vs_official``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from benchmarks.harness._our_load import N_SAMPLES
from benchmarks.harness._rows import Row, run
from benchmarks.harness.oracle import OfficialRun, is_installed, measure_speed, run_official

RATES = (50_000, 100_000, 150_000, 200_000, 250_000, 300_000, 400_000, 600_000, 800_000)
KEPT_UP = 0.99
BOUND_MS = 10
TIMEOUT_S = 60.0

Figures = Mapping[str, float]
Tool = Callable[[], Figures]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        pairs: Runs of each tool for a row.
        tail_pairs: Runs for a percentile of the lateness: the host's interruptions decide the 99th
            of a single run, for both tools.
        seconds: Duration of a run; twice as long for the lateness.
        queries: Queries of the run for the memory.
    """

    pairs: int
    tail_pairs: int
    seconds: float
    queries: int


FULL = Size(pairs=5, tail_pairs=11, seconds=0.8, queries=500_000)
QUICK = Size(pairs=1, tail_pairs=1, seconds=0.3, queries=100_000)

TRACED_QUERIES = 100_000
TRACE_COST = 1.3


@dataclass(frozen=True, slots=True)
class Goal:
    """What the ratio of a figure, ours over the official one, has to be."""

    measure: str
    figure: str
    limit: float
    at_least: bool

    def row(self, pairs: Sequence[tuple[Figures, Figures]]) -> Row:
        """Judge the medians over pairs of runs."""
        ours, other = (
            median(figures[self.figure] for figures in tool) for tool in zip(*pairs, strict=True)
        )
        ratio = ours / other
        met = ratio >= self.limit if self.at_least else ratio <= self.limit
        words = f"at {'least' if self.at_least else 'most'} {self.limit:.3g} times"
        return Row(self.measure, ours, other, ratio, words, met)


def measure(size: Size) -> list[Row]:
    """All rows; both tools run in turn."""
    rows: list[Row] = []
    for ours, official, goals in comparisons(size):
        tail = any(goal.figure.startswith("lateness") for goal in goals)
        pairs = [(ours(), official()) for _ in range(size.tail_pairs if tail else size.pairs)]
        rows += [goal.row(pairs) for goal in goals]
        print(*(f"{row.measure}: {row.ratio:.3g}" for row in rows[-len(goals) :]), file=sys.stderr)
    return [*rows, trace_row(size), highest_rate_row(size)]


def comparisons(size: Size) -> Iterator[tuple[Tool, Tool, tuple[Goal, ...]]]:
    """What is compared: our run, the official run, and the goals for their figures."""
    seconds, speed = size.seconds, partial(Goal, figure="samples_per_s", at_least=True)
    yield (
        partial(ours, "SingleStream", seconds),
        official("SingleStream", seconds, single_stream_expected_latency_ns=1500),
        (speed("single stream, queries/s", limit=5),),
    )
    yield (
        partial(ours, "MultiStream", seconds),
        official("MultiStream", seconds, multi_stream_expected_latency_ns=5000),
        (speed("multi-stream of 8, samples/s", limit=3),),
    )
    yield (
        partial(ours, "Offline", seconds, samples=1_000_000),
        partial(better_offline, 1_000_000),
        (speed("offline, 1 M samples, samples/s", limit=2),),
    )
    for qps in (1_000, 10_000):
        yield (
            partial(ours, "Server", 2 * seconds, target_qps=qps, latency_bound=f"{BOUND_MS} ms"),
            official("Server", 2 * seconds, trace=True, server_target_qps=qps),
            (
                Goal(f"server {qps} qps, lateness p50, µs", "lateness_p50_us", 1 / 10, False),
                Goal(f"server {qps} qps, lateness p99, µs", "lateness_p99_us", 1 / 3, False),
            ),
        )
    yield (
        partial(ours, "SingleStream", seconds, worker=True),
        official("SingleStream", seconds, True, single_stream_expected_latency_ns=4000),
        (speed("single stream by a worker thread, queries/s", limit=1),),
    )
    yield (
        partial(ours, "SingleStream", 0.001, min_queries=size.queries),
        official("SingleStream", 0.001, min_query_count=size.queries),
        (
            Goal("peak memory, MB per million queries", "mb_per_million", 1 / 4, False),
            Goal(f"after the last of {size.queries} queries, s", "post_run_s", 1 / 3, False),
        ),
    )
    yield (
        partial(
            ours, "Server", 2 * seconds, busy=True, target_qps=200, latency_bound=f"{BOUND_MS} ms"
        ),
        partial(
            official_variant,
            interface="list",
            busy=True,
            settings=server_settings(200, 2 * seconds),
        ),
        (Goal("server 200 qps beside torch, lateness p99, µs", "lateness_p99_us", 1, False),),
    )


def ours(
    scenario: str,
    seconds: float,
    *,
    worker: bool = False,
    busy: bool = False,
    trace: bool = False,
    **arguments: Any,
) -> Figures:
    """One load of ours; a number of queries makes it a fixed one, not watched."""
    if scenario != "Offline":
        arguments["min_duration"] = f"{seconds} s"
    request = {
        "scenario": scenario,
        "arguments": arguments,
        "watched": "min_queries" not in arguments,
        "worker": worker,
        "busy": busy,
        "trace": trace,
    }
    return _in_a_process("benchmarks.harness._our_load", request)


def official(
    scenario: Any, seconds: float, worker: bool = False, trace: bool = False, **settings: float
) -> Tool:
    """Makes official loads."""
    official_run = OfficialRun(
        scenario=scenario,
        total=N_SAMPLES,
        performance_count=N_SAMPLES,
        settings={"min_duration_ms": int(seconds * 1000), "min_query_count": 1, **settings},
        completion="worker" if worker else "inline",
        trace=trace,
    )

    def load() -> Figures:
        speed = measure_speed(official_run)
        grown = speed.peak_rss_bytes - speed.rss_before_bytes
        lateness = speed.lateness_ns or {"50.00": 0.0, "99.00": 0.0}
        queries = settings.get("min_query_count", 1)
        return {
            "samples_per_s": speed.samples_per_s,
            "lateness_p50_us": lateness["50.00"] / 1e3,
            "lateness_p99_us": lateness["99.00"] / 1e3,
            "post_run_s": speed.post_run_s,
            "mb_per_million": grown / queries,
            "whole_run_per_s": queries / (queries / speed.samples_per_s + speed.post_run_s),
        }

    return load


def better_offline(samples: int) -> Figures:
    """The better of the official tool's two Python interfaces."""
    settings = {"scenario": "Offline", "min_duration_ms": 1, "min_query_count": samples}
    return max(
        (
            official_variant(interface=interface, busy=False, settings=settings)
            for interface in ("list", "fast")
        ),
        key=lambda figures: figures["samples_per_s"],
    )


def official_variant(*, interface: str, busy: bool, settings: Mapping[str, Any]) -> Figures:
    """One official load of a kind that the oracle does not make."""
    request = {"interface": interface, "busy": busy, "settings": settings}
    return _in_a_process("benchmarks.harness._official_variants", request)


def server_settings(qps: int, seconds: float) -> dict[str, Any]:
    """Settings of an official server run."""
    return {
        "scenario": "Server",
        "server_target_qps": qps,
        "server_target_latency_ns": BOUND_MS * 1_000_000,
        "min_duration_ms": int(seconds * 1000),
        "min_query_count": 1,
    }


def trace_row(size: Size) -> Row:
    """How many times slower whole runs are that write a trace, each tool beside itself."""
    tools: tuple[Callable[[bool], Figures], ...] = (
        lambda trace: ours("SingleStream", 0.001, trace=trace, min_queries=TRACED_QUERIES),
        lambda trace: official(
            "SingleStream", 0.001, trace=trace, min_query_count=TRACED_QUERIES
        )(),
    )
    pairs = [[(load(False), load(True)) for load in tools] for _ in range(size.pairs)]
    cost, other = (
        median(off["whole_run_per_s"] for off, _ in runs)
        / median(on["whole_run_per_s"] for _, on in runs)
        for runs in zip(*pairs, strict=True)
    )
    measure = f"{TRACED_QUERIES} queries, without trace over with it, queries/s"
    return Row(measure, cost, other, cost / other, f"ours at most {TRACE_COST}", cost <= TRACE_COST)


def highest_rate_row(size: Size) -> Row:
    """The highest server rates that both tools keep up with."""
    best = {we_keep_up: 0, official_keeps_up: 0}
    climbing = dict.fromkeys(best, True)
    for qps in RATES:
        for keeps_up in best:
            climbing[keeps_up] = climbing[keeps_up] and any(
                keeps_up(qps, size.seconds) for _ in range(size.pairs)
            )
            if climbing[keeps_up]:
                best[keeps_up] = qps
    ours, other = best.values()
    ratio = ours / other if other else None
    return Row(
        "server, highest rate kept, qps", ours, other, ratio, "at least 1 times", ours >= other
    )


def we_keep_up(qps: int, seconds: float) -> bool:
    """Whether ours completes on time at a rate."""
    figures = ours("Server", seconds, target_qps=qps, latency_bound=f"{BOUND_MS} ms")
    return (
        figures["samples_per_s"] >= KEPT_UP * figures["scheduled_per_s"]
        and figures["latency_p99_ms"] <= BOUND_MS
    )


def official_keeps_up(qps: int, seconds: float) -> bool:
    """Whether the official one completes on time at a rate."""
    settings = server_settings(qps, seconds)
    (result,) = run_official(
        [
            OfficialRun(
                scenario=settings.pop("scenario"),
                total=N_SAMPLES,
                performance_count=N_SAMPLES,
                settings=settings,
                trace=False,
            )
        ]
    )
    log = result.log
    kept = log["result_completed_samples_per_sec"] / log["result_scheduled_samples_per_sec"]
    on_time = log["result_99.00_percentile_latency_ns"] <= BOUND_MS * 1_000_000
    return bool(kept >= KEPT_UP and on_time)


def _in_a_process(module: str, request: Mapping[str, Any]) -> Figures:
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{module} failed on {request}:\n{done.stderr}")
    figures: Figures = json.loads(done.stdout)
    return figures


def main() -> int:
    """Check what is needed, then measure."""
    if not is_installed():
        print("the official LoadGen is missing: pip install -e '.[oracle]'", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--quick", action="store_true", help="one short pair of runs each")
    arguments, sys.argv[1:] = parser.parse_known_args()
    return run(__doc__.splitlines()[0], partial(measure, QUICK if arguments.quick else FULL))


if __name__ == "__main__":
    raise SystemExit(main())
