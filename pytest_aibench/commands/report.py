"""The command ``aibench report``: the histories of a store as one HTML page."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_aibench.commands import add_store
from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    from pytest_aibench.regression.change_points import ChangePoint
    from pytest_aibench.report.page import Page
    from pytest_aibench.report.page_data import History
    from pytest_aibench.results.identity import SeriesKey
    from pytest_aibench.results.index import Index, Point
    from pytest_aibench.results.locations import Store
    from pytest_aibench.results.schema import BenchmarkEntry

LAST = 1000

Entries = Mapping[str, "Mapping[SeriesKey, BenchmarkEntry | None]"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command's options."""
    add_store(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("aibench-report.html"),
        metavar="FILE.html",
        help="where to write the page (default: %(default)s)",
    )
    parser.add_argument(
        "--last",
        type=int,
        default=LAST,
        metavar="N",
        help="show the last N runs of each series (default: %(default)s)",
    )
    parser.add_argument("--title", default="Benchmarks", help="default: %(default)s")


def run(parsed: argparse.Namespace) -> int:
    """Write the page, and say what is on it.

    Raises:
        UserError: There are no records, fewer than one run is asked for, or the file system
            refuses.
    """
    from pytest_aibench.commands.store import open_index
    from pytest_aibench.report.page import render
    from pytest_aibench.results.locations import open_store

    if parsed.last < 1:
        raise UserError(f"--last {parsed.last} leaves nothing to show: give 1 or more")
    store = open_store(parsed.store)
    with open_index(store) as index:
        page = gather(store, index, parsed.title, parsed.last)
    if not page.histories:
        raise UserError(
            f"no records in {store.location}: run benchmarks first or name the store with --store"
        )
    size = _write(parsed.output, render(page))
    print(f"wrote {parsed.output}: {len(page.histories)} series, {size / 1e6:.1f} MB")
    for why in page.left_out.values():
        print(f"left out: {why}")
    return 0


def gather(store: Store, index: Index, title: str, last: int) -> Page:
    """The last runs of every series, with their change points and the latest entries."""
    from pytest_aibench.report.page import Page

    points = index.latest(index.series(), last)
    entries = _entries(store, {history[-1].run_id for history in points.values()})
    return Page(
        title=title,
        made_at=datetime.now(timezone.utc).isoformat(),
        histories=[_history(key, history, entries) for key, history in points.items() if history],
        left_out=index.skipped(),
    )


def _entries(store: Store, run_ids: set[str]) -> Entries:
    """By run and series, the entry that holds the figure."""
    from pytest_aibench.results.identity import series_keys
    from pytest_aibench.results.store import read_run, run_files, run_id_of

    names = [file.name for file in run_files(store) if run_id_of(file.name) in run_ids]
    runs = (read_run(store.fetch(name)) for name in names)
    return {
        run.run_id: {key: entry for key, (entry, _) in series_keys(run).items()} for run in runs
    }


def _history(key: SeriesKey, points: Sequence[Point], entries: Entries) -> History:
    from pytest_aibench.report.page_data import History

    entry = entries.get(points[-1].run_id, {}).get(key)
    return History(key=key, points=points, changes=_changes(points), entry=entry)


def _changes(points: Sequence[Point]) -> list[ChangePoint]:
    from pytest_aibench.regression.change_points import change_points

    valid = [None if point.invalid else point.value for point in points]
    return change_points(valid, better=points[-1].better)


def _write(path: Path, text: str) -> int:
    """Write the page and return its size in bytes."""
    content = text.encode("utf-8", errors="xmlcharrefreplace")
    try:
        path.write_bytes(content)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"cannot write {path}: {reason}; name another file with -o") from error
    return len(content)
