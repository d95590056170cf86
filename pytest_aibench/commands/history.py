"""The commands about the past: ``aibench history`` shows it, ``aibench accept`` starts anew."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_aibench.commands import add_store
from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    from pytest_aibench.regression.change_points import ChangePoint
    from pytest_aibench.results.identity import SeriesKey
    from pytest_aibench.results.index import Point

_COMMITS = ("subject.commit", "subject.parents")
"""Factors that are told as a range of commits."""


def add_history_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of ``aibench history``."""
    parser.add_argument(
        "benchmark", nargs="?", default="*", help="pattern of benchmark ids (default: all)"
    )
    parser.add_argument("--metric", default="", help="pattern of metrics (default: what gates)")
    parser.add_argument("--branch", default="", help="runs of that branch only (default: all)")
    parser.add_argument(
        "--last", type=int, default=200, metavar="N", help="runs looked at (default: %(default)s)"
    )
    parser.add_argument("--all", action="store_true", help="list series without a change, too")
    add_store(parser)


def run_history(parsed: argparse.Namespace) -> int:
    """Print when figures changed, by how much, and what else changed then."""
    from pytest_aibench.commands.store import open_index
    from pytest_aibench.regression.change_points import change_points
    from pytest_aibench.regression.gate import may_gate
    from pytest_aibench.results.locations import open_store

    if parsed.last < 1:
        raise UserError(f"--last {parsed.last}: give 1 or more runs")
    with open_index(open_store(parsed.store)) as index:
        if not index.n_runs:
            raise UserError(f"no records in {parsed.store}: run benchmarks first, or name --store")
        keys = _matching(index.series(), parsed.benchmark, parsed.metric or "*")
        keys = [key for key in keys if parsed.metric or may_gate(key.metric)]
        quiet = 0
        for key in keys:
            points = _chosen(index.points(key, parsed.last), parsed.branch)
            changes = change_points([p.value for p in points], better=_better(points))
            if changes or parsed.all:
                print("\n".join(_series_lines(key, points, changes)))
            quiet += not changes
        if quiet and not parsed.all:
            print(f"{quiet} of {len(keys)} series without a change: list them with --all")
    return 0


def add_accept_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of ``aibench accept``."""
    parser.add_argument("benchmark", help="pattern of benchmark ids, * for any text")
    parser.add_argument("--metric", default="*", help="pattern of metrics (default: all)")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why the change is right")
    parser.add_argument(
        "--since",
        default="latest",
        metavar="RUN",
        help="first run at the new level (default: %(default)s)",
    )
    add_store(parser)


def run_accept(parsed: argparse.Namespace) -> int:
    """Note an intended change: later runs are compared with those from the accepted one on."""
    from pytest_aibench.regression.acceptance import accept
    from pytest_aibench.results.identity import series_keys
    from pytest_aibench.results.locations import open_store
    from pytest_aibench.results.store import find_run, read_run

    if not parsed.reason.strip():
        raise UserError("--reason is empty: say why the change is right")
    store = open_store(parsed.store)
    run = read_run(find_run(store, parsed.since))
    keys = _matching(sorted(series_keys(run)), parsed.benchmark, parsed.metric)
    where = accept(
        store, run, benchmark=parsed.benchmark, metric=parsed.metric, reason=parsed.reason
    )
    print(f"accepted {len(keys)} figures from run {run.run_id} on: {parsed.reason}")
    print(f"noted in {where}")
    return 0


def _matching(keys: Sequence[SeriesKey], benchmark: str, metric: str) -> list[SeriesKey]:
    from pytest_aibench.regression.acceptance import matches

    found = [k for k in keys if matches(k.benchmark, benchmark) and matches(k.metric, metric)]
    if not found:
        known = sorted({key.benchmark for key in keys})
        examples = f", like {known[0]!r}" if known else ""
        raise UserError(
            f"no series of benchmark {benchmark!r} and metric {metric!r} among {len(known)} "
            f"benchmarks{examples}: use * for any text"
        )
    return found


def _chosen(points: Sequence[Point], branch: str) -> list[Point]:
    """The valid points, of one branch if it is named."""
    return [p for p in points if not p.invalid and (not branch or p.branch == branch)]


def _better(points: Sequence[Point]) -> str:
    return points[-1].better if points else "lower"


def _series_lines(
    key: SeriesKey, points: Sequence[Point], changes: Sequence[ChangePoint]
) -> Iterator[str]:
    level = f", now {points[-1].value:.4g}" if points else ""
    yield f"{key.benchmark} {key.metric} on {key.hardware}: {len(points)} runs{level}"
    for change in changes:
        yield from _change_lines(points, change)


def _change_lines(points: Sequence[Point], change: ChangePoint) -> Iterator[str]:
    first, last = points[change.index], points[change.index - 1]
    sense = "worse" if change.worse else "better"
    share = "" if change.ratio is None else f" ({100 * (change.ratio - 1):+.1f} %)"
    state = "" if change.confirmed else ", too few runs follow to be sure"
    yield (f"  {first.started_at}  {change.before:.4g} → {change.after:.4g}{share}, {sense}{state}")
    if last.commit != first.commit and last.commit and first.commit:
        yield f"      commits: git log {last.commit[:10]}..{first.commit[:10]}"
    for name, (before, after) in _changed(last.factors, first.factors).items():
        yield f"      {name}: {before} → {after}"


def _changed(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Factors that differ between the last run before a change and the first one after it."""
    names = [name for name in a if name in b and a[name] != b[name] and name not in _COMMITS]
    return {name: (a[name], b[name]) for name in names}
