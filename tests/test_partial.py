"""Partial files: what a killed session leaves, and how the next one takes it up."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_aibench.results.locations import LocalStore, open_store
from pytest_aibench.results.partial import Partial, abandoned, partial_files, recover
from pytest_aibench.results.schema import to_json
from pytest_aibench.results.store import read_run, run_name, write_run
from tests.records import benchmark, run_of, stored_files

ONE, TWO = benchmark("a.py::test_one"), benchmark("a.py::test_two")


def killed(store: LocalStore, *lines: bytes) -> Path:
    """The file that a killed session left: nobody holds its lock."""
    partial = Partial(store, run_of(ONE))
    (path,) = partial_files(store)
    content = path.read_bytes()
    partial.remove()
    path.write_bytes(b"".join([content, *lines]))
    return path


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def test_a_session_that_ends_leaves_none(store: LocalStore) -> None:
    partial = Partial(store, run_of(ONE))
    partial.add(to_json([TWO]))
    assert len(partial_files(store)) == 1
    partial.remove()
    assert partial_files(store) == []


def test_a_running_session_is_left_alone(store: LocalStore) -> None:
    partial = Partial(store, run_of(ONE))
    assert recover(store) == []
    assert len(partial_files(store)) == 1
    partial.remove()


def test_a_killed_session_becomes_an_interrupted_run(store: LocalStore) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.test_partial import *\n"
        "partial = Partial(LocalStore(Path(sys.argv[1])), run_of(ONE))\n"
        "partial.add(to_json([TWO]))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, store.location], check=False)
    assert done.returncode == -9
    where = store.where(run_name(run_of()))
    assert recover(store) == [f"recovered benchmarks: 2 of a session that was killed: {where}"]
    run = read_run(Path(where))
    assert run.benchmarks == [ONE, TWO]
    assert run.interrupted
    assert run.run_id == run_of().run_id
    assert run.finished_at > run.started_at
    assert (partial_files(store), recover(store)) == ([], [])


@pytest.mark.parametrize(
    "rest", [b'[{"id": "a', b"\xff\n", b"[" * 10_000, b'[{"id": "a"}]\n', b'{"id": "a"}\n']
)
def test_a_line_that_was_not_finished_is_left_out(store: LocalStore, rest: bytes) -> None:
    killed(store, json.dumps(to_json([TWO])).encode() + b"\n", rest)
    recover(store)
    (record,) = stored_files(Path(store.location))
    assert read_run(record).benchmarks == [ONE, TWO]


@pytest.mark.parametrize("content", [b"", b"{", b"[]\n", b"null\n", b"\x00" * 100])
def test_what_is_no_partial_file_stays_for_gc(store: LocalStore, content: bytes) -> None:
    path = killed(store)
    path.write_bytes(content)
    assert recover(store) == []
    assert path.exists()
    assert stored_files(Path(store.location)) == []


def test_a_session_killed_after_its_record_was_written(store: LocalStore) -> None:
    killed(store)
    write_run(store, run_of(ONE, TWO))
    assert recover(store) == []
    assert partial_files(store) == []
    (path,) = stored_files(Path(store.location))
    assert read_run(path) == run_of(ONE, TWO)


def test_one_session_recovers_at_a_time(store: LocalStore) -> None:
    path = killed(store)
    with abandoned(path) as content:
        assert content
        assert recover(store) == []
    assert len(recover(store)) == 1


def test_figures_that_are_not_finite_survive_the_kill(store: LocalStore) -> None:
    odd = to_json([replace(TWO, provenance={"loss": float("nan")})])
    killed(store, json.dumps(odd).encode() + b"\n")
    recover(store)
    (record,) = stored_files(Path(store.location))
    assert read_run(record).benchmarks[1].provenance == {"loss": None}


def test_a_desk_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    partial = Partial(open_store(tmp_path / "store"), run_of(ONE))
    partial.add(to_json([TWO]))
    partial.remove()
    assert (tmp_path / "store").read_text() == "in the way"
