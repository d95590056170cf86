"""The commands that look after a store: ``aibench index``, ``push`` and ``gc``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING

from pytest_aibench.commands import add_store
from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    from pytest_aibench.results.index import Index
    from pytest_aibench.results.locations import Store

KEEP_DAYS = 90
_BAR = 30
_MANY = 100
_MOST_DAYS = 100_000
_UNFINISHED = ".tmp"


@dataclass(frozen=True, slots=True)
class Doomed:
    """A file that retention does not keep.

    Attributes:
        where: As users can name it.
        size_bytes: Its size.
        delete: Deletes it.
    """

    where: str
    size_bytes: int
    delete: Callable[[], None]


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of ``aibench index``."""
    add_store(parser)
    parser.add_argument("--rebuild", action="store_true", help="read all records again")


def run_index(parsed: argparse.Namespace) -> int:
    """Recover what killed sessions left, take in new records, and name those left out."""
    from pytest_aibench.results.locations import open_store
    from pytest_aibench.results.partial import recover

    store = open_store(parsed.store)
    for line in recover(store):
        print(line)
    with open_index(store, rebuild=parsed.rebuild) as index:
        print(f"{index.n_runs} runs, {len(index.series())} series in {store.location}")
        for why in index.skipped().values():
            print(f"left out: {why}")
    return 0


def open_index(store: Store, *, rebuild: bool = False) -> AbstractContextManager[Index]:
    """The index of a store; a bar shows its progress where many records are new."""
    from pytest_aibench.results.index import Index

    bar = partial(show_progress, started_s=time.monotonic())
    return Index.opened(store, bar, rebuild=rebuild)


def add_push_arguments(parser: argparse.ArgumentParser) -> None:
    """``aibench push`` takes none: each record knows its store."""


def run_push(parsed: argparse.Namespace) -> int:
    """Send what waits; 1 if something still does."""
    from pytest_aibench.results.store import push

    sent, problems = push()
    for where in sent:
        print(f"sent: {where}")
    for problem in problems:
        print(f"still waiting: {problem}")
    if not sent and not problems:
        print("nothing waits to be sent")
    return 1 if problems else 0


def add_gc_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of ``aibench gc``."""
    add_store(parser)
    parser.add_argument(
        "--keep-days",
        type=int,
        default=KEEP_DAYS,
        metavar="N",
        help="keep raw samples of the last N days (default: %(default)s)",
    )
    parser.add_argument(
        "--keep", nargs="*", default=[], metavar="RUN", help="ids of runs whose samples stay"
    )
    parser.add_argument("--yes", action="store_true", help="delete, instead of only listing")


def run_gc(parsed: argparse.Namespace) -> int:
    """List what retention does not keep and, if told to, delete it."""
    from pytest_aibench.results.locations import open_store

    if not 0 <= parsed.keep_days <= _MOST_DAYS:
        raise UserError(f"--keep-days {parsed.keep_days}: give 0 to {_MOST_DAYS} days")
    store = open_store(parsed.store)
    before = datetime.now(timezone.utc) - timedelta(days=parsed.keep_days)
    doomed = list(expired(store, before, [*parsed.keep, *_accepted(store)]))
    for file in doomed:
        print(f"{_size(file.size_bytes):>10}  {file.where}")
        if parsed.yes:
            file.delete()
    total = f"{len(doomed)} files, {_size(sum(file.size_bytes for file in doomed))}"
    print(f"deleted {total}" if parsed.yes else f"would delete {total}: add --yes to do it")
    return 0


def _accepted(store: Store) -> set[str]:
    """Ids of the stored runs at which a new level was accepted."""
    from pytest_aibench.regression.acceptance import read_acceptances
    from pytest_aibench.results.store import run_files, run_id_of

    stored = {run_id_of(file.name) for file in run_files(store)}
    acceptances, _ = read_acceptances(store)
    return stored & {acceptance.run_id for acceptance in acceptances}


def expired(store: Store, before: datetime, keep: Collection[str]) -> Iterator[Doomed]:
    """What retention does not keep; records it always keeps.

    That is raw samples of older runs, and what killed sessions left that long ago and nobody
    could recover.

    Args:
        store: The store.
        before: Older files go.
        keep: Ids of runs whose samples stay: accepted baselines, releases.

    Raises:
        UserError: There is no such run, or the store cannot be reached.
    """
    from pytest_aibench.results.partial import abandoned, partial_files
    from pytest_aibench.results.store import SAMPLES, find_run, read_run

    runs = [read_run(find_run(store, run)) for run in keep]
    kept = {entry.samples.name for run in runs for entry in run.benchmarks if entry.samples}
    for file in store.files():
        goes = file.name.endswith((SAMPLES, _UNFINISHED)) and file.name not in kept
        if goes and _day(file.name) < before.date():
            delete = partial(store.delete, file.name)
            yield Doomed(store.where(file.name), file.size_bytes, delete)
    for path in partial_files(store):
        with abandoned(path) as content:
            if content is not None and path.stat().st_mtime < before.timestamp():
                yield Doomed(str(path), len(content), path.unlink)


def _day(name: str) -> date:
    """The day in a file's path; the last of all where it is none, so that the file stays."""
    try:
        return date(*map(int, name.split("/")[1:4]))
    except (TypeError, ValueError):
        return date.max


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def show_progress(done: int, total: int, started_s: float) -> None:
    """A bar on a terminal, the last line of it elsewhere; nothing for a handful of files."""
    is_last = done == total
    if total < _MANY or not (is_last or sys.stderr.isatty()):
        return
    elapsed_s = time.monotonic() - started_s
    bar = "#" * (_BAR * done // total)
    left_s = elapsed_s * (total - done) / done
    text = f"\rindexing [{bar:<{_BAR}}] {done}/{total} records, {left_s:.0f} s left "
    sys.stderr.write(text + ("\n" if is_last else ""))
    sys.stderr.flush()
