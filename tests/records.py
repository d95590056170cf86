"""Records for tests: built from checks as the engine builds them, and random ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from pytest_aibench.bounds import Check
from pytest_aibench.results.locations import open_store
from pytest_aibench.results.schema import (
    SCHEMA,
    BenchmarkEntry,
    CheckEntry,
    DeviceEntry,
    Environment,
    Run,
)
from pytest_aibench.results.store import run_files, write_run

CPU = DeviceEntry(id="cpu", kind="cpu", name="a processor", memory_bytes=None)


def check_entry(check: Check) -> CheckEntry:
    """The check as a record holds it."""
    figure = check.estimate
    return CheckEntry(
        name=check.name,
        value=figure.value,
        low=figure.low,
        high=figure.high,
        unit=figure.unit,
        bound=str(check.bound),
        limit=check.limit,
        margin=check.margin,
        verdict=check.verdict.value,
        reason=check.reason,
    )


def benchmark(node: str, verdict: str = "passed", *checks: Check) -> BenchmarkEntry:
    return BenchmarkEntry(
        id=node,
        kind="inference",
        params={},
        verdict=verdict,
        precision="fp32",
        device=CPU,
        checks=[check_entry(check) for check in checks],
    )


def run_of(*benchmarks: BenchmarkEntry, run_id: str = "01JD8ZZZZZZZZZZZZZZZZZZZZZ") -> Run:
    return Run(
        schema=SCHEMA,
        run_id=run_id,
        started_at="2026-03-01T23:30:00+00:00",
        finished_at="2026-03-01T23:31:00+00:00",
        interrupted=False,
        environment=Environment(hw={"cpu": "x"}, unit={}, sw={}, subject={}, harness={}, state={}),
        benchmarks=list(benchmarks),
    )


def stored(root: Path, run: Run) -> Path:
    """Store the run in a folder, and return its file."""
    store = open_store(root)
    return store.fetch(write_run(store, run))


def stored_files(root: Path) -> list[Path]:
    """Files of all runs that are stored in a folder, oldest first."""
    store = open_store(root)
    return [store.fetch(file.name) for file in run_files(store)]


_NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
_TEXTS = st.text(max_size=5)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXTS, inner, max_size=2),
    max_leaves=3,
)
_SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    Any: _JSON,
    bool: st.booleans(),
    float: _NUMBERS,
    int: st.integers(),
    str: _TEXTS,
}


def records(kind: Any) -> st.SearchStrategy[Any]:
    """Any record of that type, optional fields included, with finite figures."""
    if kind in _SCALARS:
        return _SCALARS[kind]
    args = get_args(kind)
    if get_origin(kind) is list:
        return st.lists(records(args[0]), max_size=2)
    if get_origin(kind) is dict:
        return st.dictionaries(_TEXTS, records(args[1]), max_size=2)
    if type(None) in args:
        return st.none() | records(args[0])
    hints = {name: records(hint) for name, hint in get_type_hints(kind).items()}
    return st.builds(kind, **hints)


RUNS = records(Run).map(lambda run: replace(run, schema=SCHEMA))
