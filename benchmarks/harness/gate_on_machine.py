"""The gate on this machine: its false alarms on unchanged code, and the slow-downs that it catches.

Nine benchmarks run again and again, unchanged and with slowed models in turn; then the sessions are
replayed one by one. Where pytest would run a suspect again at once, the next session of its kind
stands for that second run.

Run it from the repository with ``python -m benchmarks.harness.gate_on_machine``, on a machine that
does nothing else; ``--store DIR`` keeps the records, and goes on where an earlier run stopped.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

from benchmarks.harness._rows import Row, run
from pytest_aibench.gatekeeper import is_worse
from pytest_aibench.regression.baseline import Policy
from pytest_aibench.regression.gate import Gated, GateReport, gate, is_gated
from pytest_aibench.results.identity import series_keys
from pytest_aibench.results.index import Index
from pytest_aibench.results.locations import LocalStore
from pytest_aibench.results.schema import Run
from pytest_aibench.results.store import read_run, run_files, write_run

SLOWDOWNS = (0.05, 0.1, 0.2, 0.5)
UNCHANGED = 0.0
BLOCKS = 5
UNCHANGED_IN_A_BLOCK = 4
FIRST_UNCHANGED = 8
FIXED = 0.10
MIN_PAIRS = 200
SUITE = ("benchmarks", "-k", "image_classification", "--aibench-precision=fp32,bf16")
AGREEMENT = 0.10


def schedule() -> Iterator[float]:
    """The slow-down of each session: kinds in turn, so that the machine's moods hit all alike."""
    yield from [UNCHANGED] * FIRST_UNCHANGED
    for _ in range(BLOCKS):
        yield from [UNCHANGED] * UNCHANGED_IN_A_BLOCK
        yield from SLOWDOWNS


def collect(root: Path) -> None:
    """Run the sessions that are not in the stores yet."""
    due = list(schedule())
    done = {kind: len(run_files(store_of(root, kind))) for kind in set(due)}
    for number, kind in enumerate(due, 1):
        if done[kind]:
            done[kind] -= 1
            continue
        print(f"session {number}/{len(due)}: slow-down {kind:.0%}", file=sys.stderr)
        _run_suite(store_of(root, kind), kind)


def store_of(root: Path, slowdown: float) -> LocalStore:
    """The store of one kind of sessions."""
    return LocalStore(root / f"slower-by-{slowdown:.0%}".rstrip("%"))


def _run_suite(store: LocalStore, slowdown: float) -> None:
    slow = ["-p", "benchmarks.harness._slow_model"] if slowdown else []
    options = ["--aibench-effort=quick", f"--aibench-store={store.location}"]
    subprocess.run(
        [sys.executable, "-m", "pytest", *SUITE, "-q", "-p", "no:randomly", *slow, *options],
        env={**os.environ, "SLOWDOWN": str(slowdown)},
        stdout=subprocess.DEVNULL,
        check=False,  # a slowed model may miss its bounds; its figures count all the same
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What the gate said to one session.

    Attributes:
        caught: Benchmarks that failed, by whether they could: those with a baseline.
        detectable: Smallest detectable change of each figure.
        power: By benchmark, the chance that the tool itself gives to its catch.
    """

    caught: dict[str, bool]
    detectable: list[float]
    power: dict[str, float]


def replay(history: LocalStore, session: Run, again: Run, slowdown: float) -> Replayed:
    """Gate a session as pytest does, the other standing for its second runs."""
    with Index.opened(history) as index:
        first = gate([session], index, Policy())
        suspects = {row.key.benchmark for row in first.suspects}
        report = gate([_confirmed(session, again, suspects)], index, Policy())
    rows = [row for row in report.rows if row.baseline.points]
    n_benchmarks = len(session.benchmarks)
    return Replayed(
        caught=_by_benchmark(rows, lambda row: is_worse(row, n_benchmarks)),
        detectable=[row.comparison.detectable for row in rows if row.comparison.detectable],
        power=_powers(first, slowdown),
    )


def _by_benchmark(rows: Sequence[Gated], is_caught: Callable[[Gated], bool]) -> dict[str, bool]:
    names = {row.key.benchmark for row in rows}
    return {name: any(is_caught(r) for r in rows if r.key.benchmark == name) for name in names}


def _powers(report: GateReport, slowdown: float) -> dict[str, float]:
    """Chance that both runs flag a slow-down, by the most sensitive timing of each benchmark."""
    best: dict[str, float] = {}
    for row in report.rows:
        comparison = row.comparison
        power = comparison.power(slowdown) if comparison.evidence.kind.timing else None
        if power is not None and row.baseline.points:
            best[row.key.benchmark] = max(best.get(row.key.benchmark, 0.0), power**2)
    return best


def _confirmed(session: Run, again: Run, names: set[str]) -> Run:
    """The session with the figures of another one as second runs of some of its benchmarks."""
    others = {entry.id: entry.metrics for entry in again.benchmarks}
    entries = [
        replace(entry, confirmation=others.get(entry.id, {})) if entry.id in names else entry
        for entry in session.benchmarks
    ]
    return replace(session, benchmarks=entries)


def sessions(store: LocalStore) -> list[Run]:
    """The sessions of a store, oldest first."""
    return [read_run(store.fetch(file.name)) for file in run_files(store)]


def unchanged_rows(root: Path) -> list[Row]:
    """False alarms of the gate, and of a fixed threshold on the previous run."""
    runs = sessions(store_of(root, UNCHANGED))
    pairs = alarms = 0
    detectable: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        history = LocalStore(Path(folder))
        write_run(history, runs[0])
        for session, again in zip(runs[1:], [*runs[2:], runs[1]], strict=True):
            replayed = replay(history, session, again, UNCHANGED)
            pairs += len(replayed.caught)
            alarms += sum(replayed.caught.values())
            detectable = replayed.detectable
            write_run(history, session)
    fixed = sum(fixed_alarms(before, now) for before, now in pairwise(runs))
    return [
        Row("benchmarks in unchanged sessions", pairs, None, None, f"at least {MIN_PAIRS}",
            pairs >= MIN_PAIRS),
        Row("false alarms (other: fixed 10 % on the previous run)", alarms, fixed, None, "0",
            alarms == 0),
        Row("smallest detectable change at the end, median, %", 100 * median(detectable), None,
            None, "none", True),
    ]  # fmt: skip


def fixed_alarms(before: Run, now: Run) -> int:
    """Benchmarks of which a gating figure is a tenth worse than in the previous run."""
    old = {key: metric.value for key, (_, metric) in series_keys(before).items()}
    worse = set()
    for key, (entry, metric) in series_keys(now).items():
        previous = old.get(key)
        if entry is not None and is_gated(entry, key.metric) and previous and metric.value:
            ratio = metric.value / previous
            if (ratio if metric.better == "lower" else 1 / ratio) > 1 + FIXED:
                worse.add(key.benchmark)
    return len(worse)


def slowed_rows(root: Path) -> list[Row]:
    """The share of slowed benchmarks that is caught, beside the share that the tool predicts."""
    return [_slowed_row(root, slowdown) for slowdown in SLOWDOWNS]


def _slowed_row(root: Path, slowdown: float) -> Row:
    runs = sessions(store_of(root, slowdown))
    caught: list[bool] = []
    predicted: list[float] = []
    for session, again in zip(runs, [*runs[1:], runs[0]], strict=True):
        replayed = replay(store_of(root, UNCHANGED), session, again, slowdown)
        served = [name for name in replayed.power if "test_inference" in name]
        caught += [replayed.caught[name] for name in served]
        predicted += [replayed.power[name] for name in served]
    ours, other = mean(caught), mean(predicted)
    return Row(
        f"share caught of {len(caught)} slowed by {slowdown:.0%} (other: predicted)",
        ours,
        other,
        None,
        f"within {AGREEMENT:g} of the prediction",
        abs(ours - other) <= AGREEMENT,
    )


def measure(root: Path) -> list[Row]:
    """All rows."""
    collect(root)
    return [*unchanged_rows(root), *slowed_rows(root)]


def main() -> int:
    """Collect, then replay."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--store", type=Path, help="keep the records there")
    arguments, sys.argv[1:] = parser.parse_known_args()
    with ExitStack() as stack:
        folder = arguments.store or stack.enter_context(tempfile.TemporaryDirectory())
        return run(__doc__.splitlines()[0], partial(measure, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
