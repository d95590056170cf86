"""The store: whole files or none, never overwritten, and one line for all that may be wrong."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from pytest_aibench.errors import UserError
from pytest_aibench.results import store
from pytest_aibench.results.locations import open_store
from pytest_aibench.results.schema import Run, to_json
from pytest_aibench.results.store import find_run, new_run_id, read_run
from tests.records import RUNS, benchmark, run_of, stored, stored_files

FIX = "choose another folder with --aibench-store or use --aibench-no-store"
OUT = "move it out of the store"


def error_of(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_run(path)
    return str(caught.value)


def test_round_trip_under_a_dated_path(tmp_path: Path) -> None:
    run = run_of(benchmark("a.py::test"))
    path = stored(tmp_path / "store", run)
    name = "20260301T233000Z-01JD8ZZZZZZZZZZZZZZZZZZZZZ.json"
    assert path == tmp_path / "store" / "runs" / "2026" / "03" / "01" / name
    assert read_run(path) == run
    assert stored_files(tmp_path / "store") == [path]


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(RUNS)
def test_any_run_is_read_as_it_was_written(tmp_path_factory: Any, run: Run) -> None:
    root = tmp_path_factory.mktemp("store")
    named = replace(run, run_id=new_run_id(), started_at="2026-03-01T10:00:00Z")
    assert read_run(stored(root, named)) == named


@pytest.mark.parametrize("started_at", ["2026-03-02T00:30:00+01:00", "2026-03-01T23:30:00Z"])
def test_paths_are_in_utc(tmp_path: Path, started_at: str) -> None:
    path = stored(tmp_path, replace(run_of(), started_at=started_at))
    assert path.parts[-4:-1] == ("2026", "03", "01")
    assert path.name.startswith("20260301T233000Z-")


def test_only_the_record_is_left_in_its_folder(tmp_path: Path) -> None:
    path = stored(tmp_path, run_of())
    assert list(path.parent.iterdir()) == [path]


def test_records_are_never_overwritten(tmp_path: Path) -> None:
    path = stored(tmp_path, run_of())
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        stored(tmp_path, run_of(benchmark("a.py::test")))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_file_systems_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    path = stored(tmp_path, run_of())
    assert read_run(path) == run_of()
    with pytest.raises(FileExistsError):
        stored(tmp_path, run_of())
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False])
def test_a_full_disk_leaves_no_half_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    written = []

    def fill_up(handle: int) -> None:
        written.append(handle)
        if links or len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(os, "fsync", fill_up)
    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(UserError) as caught:
        stored(tmp_path, run_of())
    assert str(caught.value) == (
        f"cannot write records to {tmp_path}: no space left on device; {FIX}"
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_sessions_that_end_together_lose_nothing(tmp_path: Path) -> None:
    runs = [run_of(run_id=new_run_id()) for _ in range(40)]
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda run: stored(tmp_path / "store", run), runs))
    assert stored_files(tmp_path / "store") == sorted(paths)
    assert {read_run(path).run_id for path in paths} == {run.run_id for run in runs}


def test_figures_that_are_not_finite_become_null_with_a_note(tmp_path: Path) -> None:
    entry = to_check_entry(float("nan"), float("inf"))
    path = stored(tmp_path, run_of(entry))
    run = read_run(path)
    assert (run.benchmarks[0].checks[0].value, run.benchmarks[0].checks[0].high) == (None, None)
    assert run.notes == [
        "run.benchmarks[0].checks[0].value was nan, stored as null",
        "run.benchmarks[0].checks[0].high was inf, stored as null",
        "run.benchmarks[0].provenance.losses[1] was -inf, stored as null",
    ]
    assert "NaN" not in path.read_text()
    assert "Infinity" not in path.read_text()


def to_check_entry(value: float, high: float) -> Any:
    from pytest_aibench.bounds import Estimate, at_least, judge

    check = judge("top1", Estimate(value=0.9, low=0.8, high=0.95), at_least(0.5))
    entry = benchmark("a.py::test", "passed", check)
    broken = replace(entry.checks[0], value=value, high=high)
    return replace(entry, checks=[broken], provenance={"losses": [1.0, float("-inf")]})


def test_facts_that_are_not_json_do_not_lose_the_session(tmp_path: Path) -> None:
    entry = replace(benchmark("a.py::test"), provenance={"weights": Path("w.npz"), "raw": b"x"})
    run = read_run(stored(tmp_path, run_of(entry)))
    assert run.benchmarks[0].provenance == {"weights": "w.npz", "raw": "b'x'"}


def test_a_new_store_ignores_itself_in_git(tmp_path: Path) -> None:
    stored(tmp_path / "a" / "store", run_of())
    assert (tmp_path / "a" / "store" / ".gitignore").read_text() == "*\n"


def test_a_store_that_was_there_is_left_as_it_is(tmp_path: Path) -> None:
    stored(tmp_path, run_of())
    assert not (tmp_path / ".gitignore").exists()


@pytest.mark.parametrize("root", ["store", "a/b/store", "."])
def test_a_store_that_can_be_created_is_fine(tmp_path: Path, root: str) -> None:
    open_store(tmp_path / root).check()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("blocked", ["store", "store/runs"])
def test_a_file_in_the_way(tmp_path: Path, blocked: str) -> None:
    (tmp_path / blocked).parent.mkdir(exist_ok=True)
    (tmp_path / blocked).write_text("mine")
    root = tmp_path / "store"
    message = f"cannot write records to {root}: {tmp_path / blocked} is no folder; {FIX}"
    for act in (lambda: open_store(root).check(), lambda: stored(root, run_of())):
        with pytest.raises(UserError) as caught:
            act()
        assert str(caught.value) == message


def test_a_dangling_link_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "store").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="store is no folder; choose another folder"):
        open_store(tmp_path / "store").check()


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system is asked through a stand-in, because nothing is forbidden to root."""
    asked = []

    def forbid(path: Path, mode: int) -> bool:
        asked.append((path, mode))
        return False

    monkeypatch.setattr(os, "access", forbid)
    root = tmp_path / "a" / "store"
    with pytest.raises(UserError) as caught:
        open_store(root).check()
    assert str(caught.value) == f"cannot write records to {root}: permission denied; {FIX}"
    assert asked == [(tmp_path, os.W_OK | os.X_OK)]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do all")
def test_no_permission_for_real(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"permission denied; choose another folder"):
        open_store(tmp_path / "store").check()


def test_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "1.json"
    assert error_of(path) == f"cannot read {path}: no such file or directory"
    assert error_of(tmp_path) == f"cannot read {tmp_path}: is a directory"


@pytest.mark.parametrize("kept", [0, 1, 100, -3])
def test_truncated_files(tmp_path: Path, kept: int) -> None:
    path = stored(tmp_path, run_of(benchmark("a.py::test")))
    path.write_bytes(path.read_bytes()[:kept])
    assert error_of(path) == f"{path} is truncated or not strict JSON: {OUT}"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'{"a": NaN}', b"[" * 100_000])
def test_files_that_are_not_strict_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "1.json"
    path.write_bytes(content)
    assert error_of(path) == f"{path} is truncated or not strict JSON: {OUT}"


@pytest.mark.parametrize(
    "document",
    [
        [],
        "aibench.run/1",
        {},
        {"schema": None},
        {"schema": 1},
        {"schema": "other.run/1"},
        {"schema": "aibench.run/x"},
        {"schema": "aibench.run/0"},
        {"schema": "aibench.run/" + "9" * 5000},
        {"schema": ["aibench.run/1"]},
    ],
)
def test_foreign_files(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "1.json"
    path.write_text(json.dumps(document))
    assert error_of(path) == f"{path} is no pytest-aibench record: {OUT}"


def test_newer_files(tmp_path: Path) -> None:
    path = tmp_path / "1.json"
    path.write_text(json.dumps(to_json(run_of()) | {"schema": "aibench.run/3"}))
    assert error_of(path) == (
        f"{path} has the newer schema aibench.run/3, and this version reads aibench.run/2: "
        "upgrade pytest-aibench"
    )


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "1.json"
    path.write_text(json.dumps(to_json(run_of()) | {"benchmarks": "none"}))
    assert error_of(path) == (
        f"{path} is damaged (run.benchmarks should be of type list, not str): {OUT}"
    )


def test_listing_is_by_time_and_leaves_out_what_is_no_record(tmp_path: Path) -> None:
    times = ["2026-03-01T10:00:00Z", "2025-12-31T23:59:59Z", "2026-03-01T09:00:00Z"]
    paths = [stored(tmp_path, replace(run_of(run_id=new_run_id()), started_at=at)) for at in times]
    (paths[0].parent / f".{paths[0].name}.7.tmp").write_text("{")
    (paths[0].parent / "notes.txt").write_text("mine")
    assert stored_files(tmp_path) == [paths[1], paths[2], paths[0]]
    assert stored_files(tmp_path / "nowhere") == []


def test_finding_runs(tmp_path: Path) -> None:
    ids = ["01JDAAAAAAAAAAAAAAAAAAAAA1", "01JDBBBBBBBBBBBBBBBBBBBBB2"]
    first, last = (stored(tmp_path, run_of(run_id=run_id)) for run_id in ids)
    assert find_run(open_store(tmp_path), "latest") == last
    assert find_run(open_store(tmp_path), ids[0]) == first
    assert find_run(open_store(tmp_path), "01jda") == first
    assert find_run(open_store(tmp_path), "b2") == last
    assert find_run(open_store(tmp_path / "other"), str(first)) == first


@pytest.mark.parametrize(("name", "count"), [("01JD", "2"), ("nothing", "no")])
def test_runs_that_cannot_be_told(tmp_path: Path, name: str, count: str) -> None:
    ids = ["01JDAAAAAAAAAAAAAAAAAAAAA1", "01JDBBBBBBBBBBBBBBBBBBBBB2"]
    for run_id in ids:
        stored(tmp_path, run_of(run_id=run_id))
    with pytest.raises(UserError) as caught:
        find_run(open_store(tmp_path), name)
    assert str(caught.value) == (
        f"{count} records in {tmp_path} are called {name!r}: "
        f"give a path, 'latest' or a run id like {ids[1]}"
    )


def test_an_empty_store(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        find_run(open_store(tmp_path), "latest")
    assert str(caught.value) == (
        f"no records in {tmp_path}: run benchmarks first or name the store with --store"
    )


def test_run_ids_are_ulids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time part is that of the ULID specification's example, 01ARYZ6S41 for 1469918176385."""
    monkeypatch.setattr(time, "time_ns", lambda: 1469918176385_999_999)
    monkeypatch.setattr(os, "urandom", lambda n: b"\xff" * n)
    assert new_run_id() == "01ARYZ6S41" + "Z" * 16
    monkeypatch.setattr(os, "urandom", bytes)
    assert new_run_id() == "01ARYZ6S41" + "0" * 16


def test_run_ids_do_not_collide() -> None:
    assert len({new_run_id() for _ in range(1000)}) == 1000


def test_importing_the_store_is_light() -> None:
    heavy = "{'numpy', 'pytest', 'torch', 'scipy', 'tabulate', 'psutil', 'pynvml'}"
    code = f"import sys, {store.__name__}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
