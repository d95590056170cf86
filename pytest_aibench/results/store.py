"""Records in a store: one immutable, strict JSON file per pytest session, under dated folders.

Files are ``runs/YYYY/MM/DD/<utc>-<run id>.json``, and raw samples beside them. Nothing is appended,
renamed or shared, so sessions that end at the same time cannot lose each other's records.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

from pytest_aibench.errors import UserError
from pytest_aibench.results.locations import (
    LocalStore,
    Store,
    StoredFile,
    open_store,
    pending,
    spool_of,
)
from pytest_aibench.results.schema import SCHEMA, Json, Run, SamplesFile, from_json, to_json
from pytest_aibench.results.upgrades import upgraded

SAMPLES = ".samples.npz"
"""What the names of raw samples end with."""

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SCHEMA_NAME = re.compile(r"aibench\.run/([1-9]\d{0,5})")
_OWN_MAJOR = int(SCHEMA.rpartition("/")[2])
_MAX_BYTES = 1 << 28
"""Hundreds of times the record of a long session; more would only fill the memory."""


def new_run_id() -> str:
    """A ULID: 48 bits of milliseconds and 80 random bits in Crockford's base 32, 26 characters.

    The random bits come from the operating system, because tests may seed `random`.
    """
    number = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def write_run(store: Store, run: Run) -> str:
    """Store a session whole or not at all, and return the name of its file.

    A figure that is not finite is a fault of ours, but no reason to lose the session: it is stored
    as null, and ``notes`` of the record says which it was.

    Raises:
        FileExistsError: The run is stored already; records are never overwritten.
        UserError: The store refuses, or cannot be reached.
    """
    name = run_name(run)
    store.create(name, record_text(run).encode("ascii"))
    return name


def keep_run(store: Store, run: Run) -> tuple[str, str]:
    """Store a session, or keep it where `push` finds it; where it is, and what went wrong.

    Raises:
        FileExistsError: The run is stored already.
    """
    return _keep(store, run_name(run), record_text(run).encode("ascii"))


def keep_samples(store: Store, arrays: Mapping[str, Any]) -> SamplesFile:
    """Store raw samples beside the records, or keep them where `push` finds them.

    They are written where they were measured, even in a worker of xdist, because they may be too
    large to travel with a report.

    Args:
        store: The store.
        arrays: NumPy arrays by name, the unit in it.
    """
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    content = buffer.getvalue()
    name = f"{_dated(datetime.now(timezone.utc), new_run_id())}{SAMPLES}"
    _keep(store, name, content)
    return SamplesFile(name=name, sha256=hashlib.sha256(content).hexdigest())


def _keep(store: Store, name: str, content: bytes) -> tuple[str, str]:
    try:
        store.create(name, content)
        return store.where(name), ""
    except UserError as error:
        problem = str(error)
    spool = spool_of(store)
    try:
        spool.wait_for(store)
        spool.create(name, content)
        where = spool.where(name)
        return where, f"{problem}; this record waits in {where}: send it with `aibench push`"
    except (OSError, UserError):
        last = LocalStore(Path(tempfile.mkdtemp(prefix="aibench-")))
        last.create(name, content)
        return last.where(name), f"{problem}; this record is in {last.where(name)}"


def push() -> tuple[list[str], list[str]]:
    """Send all records that wait to the stores they are for.

    Returns:
        Where each sent record is now, and one line for each store or record that still waits.
    """
    sent: list[str] = []
    problems: list[str] = []
    for location, spool in pending().items():
        try:
            store = open_store(location)
            for file in spool.files():
                _send(spool, store, file.name, sent, problems)
        except UserError as error:
            problems.append(str(error))
    return sent, problems


def _send(spool: LocalStore, store: Store, name: str, sent: list[str], problems: list[str]) -> None:
    content = spool.fetch(name).read_bytes()
    try:
        store.create(name, content)
    except FileExistsError:  # an earlier push was stopped after it had sent this one
        if store.fetch(name).read_bytes() != content:
            there, here = store.where(name), spool.where(name)
            problems.append(f"{there} is there already and differs from {here}: delete one of them")
            return
    spool.delete(name)
    sent.append(store.where(name))


def run_files(store: Store) -> list[StoredFile]:
    """Files of all stored sessions, oldest first."""
    return [file for file in store.files() if _is_run(file.name)]


def run_name(run: Run) -> str:
    """The name of a session's file in its store."""
    # Python 3.10 does not read the suffix Z.
    started = datetime.fromisoformat(run.started_at.replace("Z", "+00:00"))
    return f"{_dated(started.astimezone(timezone.utc), run.run_id)}.json"


def read_run(path: Path) -> Run:
    """Read a session's file, of this schema or an older one.

    Raises:
        UserError: The file is unreadable, truncated, foreign or of a newer schema.
    """
    document = _read_json(path)
    schema = document.get("schema") if isinstance(document, dict) else None
    major = _SCHEMA_NAME.fullmatch(str(schema))
    if major is None:
        raise UserError(f"{path} is no pytest-aibench record: move it out of the store")
    if int(major[1]) > _OWN_MAJOR:
        raise UserError(
            f"{path} has the newer schema {schema}, and this version reads {SCHEMA}: "
            "upgrade pytest-aibench"
        )
    try:
        run: Run = from_json(Run, upgraded(document))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): move it out of the store") from error
    return run


def find_run(store: Store, name: str) -> Path:
    """The file of a session given as ``latest``, as a path, or by the start or end of its id.

    Raises:
        UserError: There is no such session, or more than one.
    """
    if Path(name).is_file():
        return Path(name)
    runs = [file.name for file in run_files(store)]
    if not runs:
        raise UserError(
            f"no records in {store.location}: run benchmarks first or name the store with --store"
        )
    found = runs[-1:] if name == "latest" else [run for run in runs if _is_called(run, name)]
    if len(found) != 1:
        raise UserError(
            f"{len(found) or 'no'} records in {store.location} are called {name!r}: "
            f"give a path, 'latest' or a run id like {run_id_of(runs[-1])}"
        )
    return store.fetch(found[0])


def run_id_of(name: str) -> str:
    """The run id in the name of a session's file or of what lies beside it."""
    return name.rpartition("-")[2].partition(".")[0]


def _dated(utc: datetime, name: str) -> str:
    return f"runs/{utc:%Y/%m/%d}/{utc:%Y%m%dT%H%M%SZ}-{name}"


def _is_called(run: str, name: str) -> bool:
    run_id = run_id_of(run)
    return run_id.startswith(name.upper()) or run_id.endswith(name.upper())


def _is_run(name: str) -> bool:
    base = name.rpartition("/")[2]
    return base.count(".") == 1 and base.endswith(".json") and base[0].isdecimal()


def record_text(run: Run) -> str:
    """The session's file as text; see `write_run` for figures that are not finite."""
    try:
        return _dumps(run, _plain)
    except (TypeError, ValueError):  # a figure that is not finite, or a key that is no text
        notes: list[str] = []
        document = _finite(to_json(run), "run", notes)
        document["notes"] += notes
        return _dumps(document, str)


def _dumps(document: Any, default: Callable[[Any], Json]) -> str:
    return json.dumps(document, allow_nan=False, separators=(",", ":"), default=default) + "\n"


def _plain(value: Any) -> Json:
    """One level of `to_json`, for the encoder; text for what a provider of facts made up."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: getattr(value, name) for name in _field_names(type(value))}
    return value.tolist() if hasattr(value, "tolist") else str(value)


@cache
def _field_names(kind: type) -> list[str]:
    return [field.name for field in fields(kind)]


def _finite(value: Json, where: str, notes: list[str]) -> Json:
    if isinstance(value, dict):
        return {key: _finite(item, f"{where}.{key}", notes) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item, f"{where}[{i}]", notes) for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        notes.append(f"{where} was {value}, stored as null")
        return None
    return value


def _read_json(path: Path) -> Any:
    try:
        _check_kind(path)
        text = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"cannot read {path}: {reason}") from error
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is truncated or not strict JSON: move it out of the store"
        ) from error


def _check_kind(path: Path) -> None:
    """Refuse what would be read forever: a pipe, a device, or gigabytes of anything."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise UserError(f"{path} is no regular file: move it out of the store")
    if status.st_size > _MAX_BYTES:
        raise UserError(f"{path} is too large for a record: move it out of the store")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not strict JSON")
