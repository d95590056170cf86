"""What a running session has measured so far, on disk, in case it is killed.

A partial file has JSON lines: the run after its first benchmark, then the entries of each later
one. Its writer locks it, and the system drops the lock when the writer dies, so a partial file that
can be locked is one that nobody will finish: the next session makes an interrupted run of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

from pytest_aibench.devices.lock import try_lock
from pytest_aibench.results.locations import LocalStore, Store
from pytest_aibench.results.schema import BenchmarkEntry, Json, Run, from_json, to_json
from pytest_aibench.results.store import keep_run

_FOLDER = "partial"
_SUFFIX = ".partial.jsonl"


class Partial:
    """The partial file of a session that runs.

    A session does not fail because this safety net cannot be spread: where the file cannot be
    written, there is none.
    """

    def __init__(self, store: Store, run: Run) -> None:
        """Begin with the run as it is after its first benchmark."""
        self._path = store.desk / _FOLDER / f"{run.run_id}{_SUFFIX}"
        self._file: BinaryIO | None = None
        with suppress(OSError):
            LocalStore(store.desk).prepare()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("xb")
            try_lock(self._file.fileno())
            self._append(to_json(run))

    def add(self, entries: list[Json]) -> None:
        """Have the entries of a benchmark, in JSON, safe on disk."""
        with suppress(OSError):
            self._append(entries)

    def remove(self) -> None:
        """Delete the file, when the record is kept."""
        if self._file is None:
            return
        with suppress(OSError):  # Windows deletes no open file, and others may have moved in
            self._path.unlink()
        self._file.close()
        with suppress(OSError):
            self._path.unlink()

    def _append(self, value: Json) -> None:
        if self._file is not None:
            self._file.write(json.dumps(value, default=str).encode("ascii") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())


def recover(store: Store) -> list[str]:
    """Make interrupted runs of what killed sessions left, and say so in a line for each."""
    said = []
    for path in partial_files(store):
        with abandoned(path) as content:
            run = None if content is None else _interrupted_run(content)
            if run is None:
                continue
            with suppress(FileExistsError):  # killed between keeping its record and this file
                where, problem = keep_run(store, run)
                count = f"{len(run.benchmarks)} of a session that was killed"
                said.append(f"recovered benchmarks: {count}: {problem or where}")
            path.unlink(missing_ok=True)
    return said


def partial_files(store: Store) -> list[Path]:
    """All partial files on this store's desk, those of running sessions included."""
    return sorted((store.desk / _FOLDER).glob(f"*{_SUFFIX}"))


@contextmanager
def abandoned(path: Path) -> Iterator[bytes | None]:
    """The content of a partial file, which is ours during the block; None while it is in use.

    An empty file may be about to be locked by its writer.
    """
    try:
        file = path.open("r+b")
    except OSError:
        yield None
        return
    with file:
        yield file.read() if _is_free(file) else None


def _is_free(file: BinaryIO) -> bool:
    try:
        return os.fstat(file.fileno()).st_size > 0 and try_lock(file.fileno())
    except OSError:  # a file system without locks
        return False


def _interrupted_run(content: bytes) -> Run | None:
    """The run as far as it was written whole; None if that is no run."""
    documents = _documents(content)
    try:
        run: Run = from_json(Run, next(documents, None))
    except ValueError:
        return None
    more: list[BenchmarkEntry] = []
    with suppress(ValueError):
        for document in documents:
            more += from_json(list[BenchmarkEntry], document)
    finished_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    benchmarks = [*run.benchmarks, *more]
    return replace(run, finished_at=finished_at, interrupted=True, benchmarks=benchmarks)


def _documents(content: bytes) -> Iterator[Json]:
    """The lines, up to one that was not finished."""
    with suppress(ValueError, RecursionError):
        for line in content.splitlines():
            yield json.loads(line)
