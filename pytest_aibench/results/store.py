"""The store: one immutable, strict JSON file per pytest session, under dated folders.

Files are ``<root>/runs/YYYY/MM/DD/<utc>-<run id>.json``. Nothing is appended, renamed or shared, so
sessions that end at the same time cannot lose each other's records.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pytest_aibench.errors import UserError
from pytest_aibench.results.schema import SCHEMA, Json, Run, from_json, to_json

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RUN_FILES = "runs/[0-9]*/[0-9]*/[0-9]*/[0-9]*.json"
_SCHEMA_NAME = re.compile(r"aibench\.run/([1-9]\d{0,5})")
_OWN_MAJOR = int(SCHEMA.rpartition("/")[2])
_OTHER_STORE = "choose another folder with --aibench-store or use --aibench-no-store"


def new_run_id() -> str:
    """A ULID: 48 bits of milliseconds and 80 random bits in Crockford's base 32, 26 characters.

    The random bits come from the operating system, because tests may seed `random`.
    """
    number = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def check_store(root: Path) -> None:
    """Make sure that a record could be written, without creating anything.

    Raises:
        UserError: The folder cannot be created or written to.
    """
    runs = root / "runs"
    existing = next((path for path in (runs, *runs.parents) if os.path.lexists(path)), root)
    if not existing.is_dir():
        raise UserError(f"cannot write records to {root}: {existing} is no folder; {_OTHER_STORE}")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"cannot write records to {root}: permission denied; {_OTHER_STORE}")


def write_run(root: Path, run: Run) -> Path:
    """Store a session whole or not at all, and return its file.

    A figure that is not finite is a fault of ours, but no reason to lose the session: it is stored
    as null, and ``notes`` of the record says which it was.

    Raises:
        FileExistsError: The run is stored already; records are never overwritten.
        UserError: The file system refuses.
    """
    check_store(root)
    path = _run_path(root, run)
    text = _strict_json(run)
    try:
        _create_root(root)
        path.parent.mkdir(parents=True, exist_ok=True)
        _create_whole(path, text)
    except FileExistsError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"cannot write records to {root}: {reason}; {_OTHER_STORE}") from error
    return path


def read_run(path: Path) -> Run:
    """Read a stored session.

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
        run: Run = from_json(Run, document)
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): move it out of the store") from error
    return run


def list_runs(root: Path) -> list[Path]:
    """Files of all stored sessions, oldest first."""
    return sorted(root.glob(_RUN_FILES))


def find_run(root: Path, name: str) -> Path:
    """The file of a session given as ``latest``, as a path, or by the start or end of its id.

    Raises:
        UserError: There is no such session, or more than one.
    """
    if Path(name).is_file():
        return Path(name)
    runs = list_runs(root)
    if not runs:
        raise UserError(
            f"no records in {root}: run benchmarks first or name the store with --store"
        )
    if name == "latest":
        return runs[-1]
    found = [path for path in runs if _is_called(path, name.upper())]
    if len(found) != 1:
        raise UserError(
            f"{len(found) or 'no'} records in {root} are called {name!r}: "
            f"give a path, 'latest' or a run id like {_run_id(runs[-1])}"
        )
    return found[0]


def _is_called(path: Path, name: str) -> bool:
    return _run_id(path).startswith(name) or _run_id(path).endswith(name)


def _run_id(path: Path) -> str:
    return path.stem.rpartition("-")[2]


def _run_path(root: Path, run: Run) -> Path:
    # Python 3.10 does not read the suffix Z.
    started = datetime.fromisoformat(run.started_at.replace("Z", "+00:00"))
    utc = started.astimezone(timezone.utc)
    return root / "runs" / f"{utc:%Y/%m/%d}" / f"{utc:%Y%m%dT%H%M%SZ}-{run.run_id}.json"


def _create_root(root: Path) -> None:
    """Create the store; a new one ignores itself in git, so that no record is committed unasked."""
    if root.is_dir():
        return
    root.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        _write_new(root / ".gitignore", "*\n")


def _create_whole(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _write_new(temporary, text)
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            _write_new(path, text)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _write_new(path: Path, text: str) -> None:
    with path.open("x", encoding="ascii", newline="\n") as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where the system lets folders be opened."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _strict_json(run: Run) -> str:
    notes: list[str] = []
    document = _finite(to_json(run), "run", notes)
    document["notes"] += notes
    # `default` keeps the session when a provider of facts returned something that is not JSON.
    return json.dumps(document, allow_nan=False, default=str) + "\n"


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


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not strict JSON")
