"""The index of a store: every figure of every run in SQLite, so that a series is read in no time.

It is derived from the records and can be deleted at any time. It lies in the user's cache, one
file for each store, and takes in new files whenever it is opened.
"""

from __future__ import annotations

import gc
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from pytest_aibench.cache import cache_dir
from pytest_aibench.errors import UserError
from pytest_aibench.results.identity import SeriesKey, factors, invalid_reason, series_keys
from pytest_aibench.results.locations import Store, StoredFile, key_of
from pytest_aibench.results.schema import SCHEMA, Run
from pytest_aibench.results.store import read_run, run_files

_VERSION = f"2-{SCHEMA.rpartition('/')[2]}"
"""Counts up with the tables below and with what `identity` says; the record's schema is in it."""

_TABLES = (
    "CREATE TABLE IF NOT EXISTS file ("
    " name TEXT PRIMARY KEY, stamp TEXT NOT NULL, run INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS run ("
    " id INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, group_id TEXT NOT NULL,"
    " started_at TEXT NOT NULL, hash TEXT NOT NULL, branch TEXT NOT NULL, dirty INTEGER NOT NULL,"
    " subject TEXT NOT NULL, shared INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS text (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",
    "CREATE TABLE IF NOT EXISTS series ("
    " id INTEGER PRIMARY KEY, benchmark TEXT NOT NULL, metric TEXT NOT NULL,"
    " hardware TEXT NOT NULL, setup TEXT NOT NULL, better TEXT NOT NULL,"
    " UNIQUE (benchmark, metric, hardware, setup))",
    "CREATE TABLE IF NOT EXISTS point ("
    " series INTEGER, run INTEGER, value REAL NOT NULL, low REAL, high REAL, n INTEGER NOT NULL,"
    " invalid INTEGER, PRIMARY KEY (series, run)) WITHOUT ROWID",
)
_CHUNK = 100
"""Files in a transaction: few enough to show progress and to lose little when stopped."""

_DOWNLOADS = 16
_LOCKED_S = 60.0
_PAGES_KIB = 64 * 1024
_SLOTS_BITS = 20
"""Runs that started in the same millisecond are numbered in so many bits."""

Progress = Callable[[int, int], None]
"""Takes how many new files are read, and how many there are."""


class Point(NamedTuple):
    """One run's figure in a series.

    A tuple, because a page may draw millions of them.

    Attributes:
        invalid: Why it is never a baseline; empty when it may be one.
        factors: See `identity.factors`.
    """

    run_id: str
    group_id: str
    started_at: str
    commit: str
    branch: str
    dirty: bool
    value: float
    low: float | None
    high: float | None
    n: int
    better: str
    invalid: str
    factors: Mapping[str, str]

    @property
    def session(self) -> str:
        """What counts as one session: the shards of a group are one."""
        return self.group_id or self.run_id


_new_tuple = tuple.__new__
"""Half the time of `Point` itself, which counts for the ten thousand points of a series."""


class _Factors(Mapping[str, str]):
    """Factors of a run, put together when somebody asks: of most points nobody does."""

    __slots__ = ("_all", "_shared", "_subject")

    def __init__(self, shared: Mapping[str, str], subject: str) -> None:
        self._shared, self._subject = shared, subject
        self._all: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return self._merged()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._merged())

    def __len__(self) -> int:
        return len(self._merged())

    def _merged(self) -> dict[str, str]:
        if self._all is None:
            self._all = {**self._shared, **json.loads(self._subject)}
        return self._all


class Index:
    """The figures of a store as they were when it was opened.

    Attributes:
        n_runs: How many runs it has.
    """

    n_runs: int

    def __init__(self, connection: sqlite3.Connection, store: Store) -> None:
        self._database = connection
        self._store = store
        self._skipped: dict[str, str] = {}
        self._series: dict[SeriesKey, tuple[int, str]] = {}
        self._texts: dict[int, str] = {}
        self._runs: dict[int, tuple[tuple[Any, ...], _Factors]] = {}
        self._runs_since: int | None = None

    @staticmethod
    @contextmanager
    def opened(
        store: Store, progress: Progress | None = None, *, rebuild: bool = False
    ) -> Iterator[Index]:
        """The index of a store, with its new files in and its deleted ones out.

        Args:
            store: The store.
            progress: Hears about new files while they are read.
            rebuild: Forget what is there, and read all files again.

        Raises:
            UserError: The store or the cache folder cannot be read.
        """
        path = cache_dir() / "index" / f"{key_of(store)}-{_VERSION}.sqlite"
        with closing(_connected(path, rebuild)) as connection, _problems(path, sqlite3.Error):
            index = Index(connection, store)
            index._load_series()
            index._sync(progress or _say_nothing)
            connection.execute("BEGIN")
            (index.n_runs,) = connection.execute("SELECT COUNT(*) FROM run").fetchone()
            yield index

    def series(self) -> list[SeriesKey]:
        """Every series of the store, in order."""
        return sorted(self._series)

    def skipped(self) -> dict[str, str]:
        """Files that were left out, and why."""
        return dict(self._skipped)

    def points(self, key: SeriesKey, last: int | None = None) -> list[Point]:
        """The figures of a series, oldest first; none if there is no such series.

        Args:
            key: The series.
            last: Only so many, the latest ones.
        """
        if key not in self._series:
            return []
        number, better = self._series[key]
        rows = self._database.execute(
            "SELECT run, value, low, high, n, invalid FROM point"
            " WHERE series = ? ORDER BY run DESC LIMIT ?",
            (number, -1 if last is None else last),
        ).fetchall()
        if rows:
            self._load_runs(rows[-1][0])
        points = []
        for run, value, low, high, n, invalid in reversed(rows):
            facts, run_factors = self._runs[run]
            why = self._text(invalid) if invalid else ""
            points.append(
                _new_tuple(Point, (*facts, value, low, high, n, better, why, run_factors))
            )
        return points

    def latest(self, keys: Iterable[SeriesKey], last: int | None) -> dict[SeriesKey, list[Point]]:
        """`points` of each of these series."""
        return {key: self.points(key, last) for key in keys}

    def run(self, run_id: str) -> Run:
        """The record of a run that is in the index."""
        (name,) = self._database.execute(
            "SELECT name FROM file JOIN run ON run.id = run WHERE run_id = ?", (run_id,)
        ).fetchone()
        return read_run(self._store.fetch(name))

    def files_of(self, name: str) -> list[str]:
        """Names of the files of a group's, a branch's or a commit's runs, oldest first.

        Args:
            name: The group, the branch, or the first seven characters and more of the commit.
        """
        rows = self._database.execute(
            "SELECT name FROM file JOIN run ON run.id = run WHERE ? IN (group_id, branch)"
            " OR (length(?) >= 7 AND substr(hash, 1, length(?)) = ?) ORDER BY run.id",
            (name,) * 4,
        )
        return [row[0] for row in rows]

    def _load_series(self) -> None:
        self._series.clear()
        rows = self._database.execute(
            "SELECT id, better, benchmark, metric, hardware, setup FROM series"
            " WHERE EXISTS (SELECT 1 FROM point WHERE series = series.id)"
        )
        for number, better, benchmark, metric, hardware, setup in rows:
            key = SeriesKey(benchmark=benchmark, metric=metric, hardware=hardware, setup=setup)
            self._series[key] = (number, better)

    def _load_runs(self, since: int) -> None:
        """Have all runs from that one on at hand."""
        if self._runs_since is not None and self._runs_since <= since:
            return
        rows = self._database.execute(
            "SELECT id, shared, subject, run_id, group_id, started_at, hash, branch, dirty"
            " FROM run WHERE id >= ? AND id < ?",
            (since, self._runs_since or 1 << 62),
        )
        common: dict[int, dict[str, str]] = {}
        for number, shared, subject, *facts, dirty in rows:
            if shared not in common:
                common[shared] = json.loads(self._text(shared))
            self._runs[number] = (*facts, dirty == 1), _Factors(common[shared], subject)
        self._runs_since = since

    def _text(self, number: int) -> str:
        if number not in self._texts:
            (row,) = self._database.execute("SELECT text FROM text WHERE id = ?", (number,))
            self._texts[number] = row[0]
        return self._texts[number]

    def _sync(self, progress: Progress) -> None:
        known = dict(self._database.execute("SELECT name, stamp FROM file"))
        found = run_files(self._store)
        current = {(file.name, file.stamp) for file in found}
        gone = [pair for pair in known.items() if pair not in current]
        new = [file for file in found if known.get(file.name) != file.stamp]
        if gone:
            self._forget(gone)
        with _without_collector(), ThreadPoolExecutor(_DOWNLOADS) as pool:
            for start in range(0, len(new), _CHUNK):
                chunk = new[start : start + _CHUNK]
                paths = pool.map(self._store.fetch, (file.name for file in chunk))
                runs = [self._read(*pair) for pair in zip(chunk, paths, strict=True)]
                self._add_all([pair for pair in runs if pair is not None])
                progress(start + len(chunk), len(new))

    def _read(self, file: StoredFile, path: Path) -> tuple[StoredFile, Run] | None:
        try:
            file.name.encode()
            return file, read_run(path)
        except UserError as error:
            self._skip(file.name, str(error))
        except UnicodeEncodeError:
            self._skip(file.name, "its name is no text: rename it")
        return None

    def _skip(self, name: str, why: str) -> None:
        self._skipped[name.encode(errors="backslashreplace").decode()] = why

    def _add_all(self, runs: list[tuple[StoredFile, Run]]) -> None:
        points: list[tuple[Any, ...]] = []
        with self._writing():
            for file, run in runs:
                self._database.execute("SAVEPOINT one")
                try:
                    points += self._add(file, run)
                except sqlite3.Error:
                    raise
                except Exception as error:  # whatever a hostile file may bring about
                    self._database.execute("ROLLBACK TO one")
                    self._load_series()
                    self._skip(
                        file.name, f"{file.name} is damaged ({error}): move it out of the store"
                    )
                self._database.execute("RELEASE one")
            # In the table's order, which touches each of its pages once.
            points.sort(key=lambda point: point[:2])
            self._database.executemany("INSERT INTO point VALUES (?, ?, ?, ?, ?, ?, ?)", points)

    def _add(self, file: StoredFile, run: Run) -> list[tuple[Any, ...]]:
        """Enter file and run, and return the rows of its points, unless it is in already."""
        execute = self._database.execute
        if execute("SELECT 1 FROM file WHERE name = ?", (file.name,)).fetchone():
            return []  # another process was quicker
        same = execute(
            "SELECT name FROM file JOIN run ON run.id = run WHERE run_id = ?", (run.run_id,)
        ).fetchone()
        if same:
            self._skip(file.name, f"{file.name} has the run id of {same[0]}: move one of them away")
            return []
        number = self._free_number(run.started_at)
        rows = [
            (
                self._series_number(key, metric.better),
                number,
                float(metric.value or 0),
                _float(metric.low),
                _float(metric.high),
                _integer(metric.n),
                self._text_number(invalid_reason(run, entry)),
            )
            for key, (entry, metric) in series_keys(run).items()
        ]
        execute("INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (number, *self._run_row(run)))
        execute("INSERT INTO file VALUES (?, ?, ?)", (*file[::2], number))
        return rows

    def _run_row(self, run: Run) -> tuple[Any, ...]:
        subject = run.environment.subject
        own: dict[str, str] = {}
        shared: dict[str, str] = {}
        for name, value in factors(run).items():
            (own if name.startswith("subject.") else shared)[name] = value
        return (
            run.run_id,
            run.group_id,
            run.started_at,
            str(subject.get("commit", "")),
            str(subject.get("branch", "")),
            bool(subject.get("dirty")),
            json.dumps(own),
            self._text_number(json.dumps(shared)),
        )

    def _free_number(self, started_at: str) -> int:
        """A number that sorts runs by their start."""
        started = datetime.fromisoformat(started_at.replace("Z", "+00:00"))
        if started.tzinfo is None:
            raise ValueError(f"started_at has no offset: {started_at}")
        since = started - datetime(1970, 1, 1, tzinfo=timezone.utc)
        first = round(since.total_seconds() * 1000) << _SLOTS_BITS
        (number,) = self._database.execute(
            "SELECT COALESCE(MAX(id) + 1, ?) FROM run WHERE id >= ? AND id < ?",
            (first, first, first + (1 << _SLOTS_BITS)),
        ).fetchone()
        return int(number)

    def _series_number(self, key: SeriesKey, better: str) -> int:
        if key not in self._series:
            self._database.execute(
                "INSERT OR IGNORE INTO series"
                " (benchmark, metric, hardware, setup, better) VALUES (?, ?, ?, ?, ?)",
                (key.benchmark, key.metric, key.hardware, key.setup, better),
            )
            self._series[key] = self._database.execute(
                "SELECT id, better FROM series"
                " WHERE benchmark = ? AND metric = ? AND hardware = ? AND setup = ?",
                (key.benchmark, key.metric, key.hardware, key.setup),
            ).fetchone()
        return self._series[key][0]

    def _text_number(self, text: str) -> int | None:
        """The number of a text that many rows share; None for an empty one."""
        if not text:
            return None
        self._database.execute("INSERT OR IGNORE INTO text (text) VALUES (?)", (text,))
        (number,) = self._database.execute("SELECT id FROM text WHERE text = ?", (text,)).fetchone()
        return int(number)

    def _forget(self, files: Iterable[tuple[str, str]]) -> None:
        with self._writing():
            for pair in files:
                found = self._database.execute(
                    "SELECT run FROM file WHERE name = ? AND stamp = ?", pair
                ).fetchall()
                for run in found:
                    self._database.execute(
                        "DELETE FROM point WHERE run = ? AND series IN (SELECT id FROM series)", run
                    )
                    self._database.execute("DELETE FROM run WHERE id = ?", run)
                    self._database.execute("DELETE FROM file WHERE run = ?", run)
        self._load_series()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def _connected(path: Path, rebuild: bool) -> sqlite3.Connection:
    """The database, made anew if it should be or if the file there is none."""
    with _problems(path, sqlite3.Error, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if rebuild:
            _delete(path)
        try:
            return _prepared(path)
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise
            _delete(path)
            return _prepared(path)


def _prepared(path: Path) -> sqlite3.Connection:
    # Transactions are begun by hand.
    connection = sqlite3.connect(path, timeout=_LOCKED_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{_PAGES_KIB}")
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'point'").fetchone():
            connection.executescript("; ".join(("BEGIN IMMEDIATE", *_TABLES, "COMMIT")))
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _problems(path: Path, *kinds: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kinds as error:
        raise UserError(
            f"cannot use the index {path} ({error}): rebuild it with `aibench index --rebuild`, "
            "or name another folder with AIBENCH_CACHE"
        ) from error


def _delete(path: Path) -> None:
    for suffix in ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Millions of small objects and no cycles: collecting would only cost time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _say_nothing(done: int, total: int) -> None:
    """Show no progress."""


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _integer(number: int) -> int:
    if abs(number) >= 1 << 63:
        raise OverflowError(f"n is {number:.3g}")
    return number
