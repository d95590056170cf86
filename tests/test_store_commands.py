"""``aibench index``, ``push`` and ``gc``: what they say and what they do."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_aibench.commands import store as commands
from pytest_aibench.errors import UserError
from pytest_aibench.regression.acceptance import accept
from pytest_aibench.results.locations import LocalStore
from pytest_aibench.results.partial import Partial, partial_files
from pytest_aibench.results.schema import SamplesFile
from pytest_aibench.results.store import keep_run, run_name, write_run
from tests.records import benchmark, run_of
from tests.test_index import run_with

OLD = "runs/2020/01/02/20200102T000000Z-OLD"
NEW = "runs/2999/01/02/29990102T000000Z-NEW"


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / ".aibench")


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """The lines that were printed since it was asked last."""
    return lambda: capsys.readouterr().out.splitlines()


def run(name: str, *arguments: str) -> int:
    add_arguments, act = {
        "index": (commands.add_index_arguments, commands.run_index),
        "push": (commands.add_push_arguments, commands.run_push),
        "gc": (commands.add_gc_arguments, commands.run_gc),
    }[name]
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return act(parser.parse_args(arguments))


def test_index(store: LocalStore, said: Callable[[], list[str]]) -> None:
    write_run(store, run_with(1.0))
    store.create(f"{OLD}.json", b"{}")
    for arguments in ([], ["--rebuild"], ["--store", store.location]):
        assert run("index", *arguments) == 0
        assert said() == [
            f"1 runs, 1 series in {store.location}",
            f"left out: {store.where(OLD)}.json is no pytest-aibench record: "
            "move it out of the store",
        ]


def test_index_recovers_killed_sessions(store: LocalStore, said: Callable[[], list[str]]) -> None:
    leave_partial(store)
    run("index")
    where = store.where(run_name(run_of()))
    assert said() == [
        f"recovered benchmarks: 1 of a session that was killed: {where}",
        f"1 runs, 0 series in {store.location}",
    ]


def leave_partial(store: LocalStore) -> Path:
    partial = Partial(store, run_of(benchmark("a.py::test")))
    (path,) = partial_files(store)
    content = path.read_bytes()
    partial.remove()
    path.write_bytes(content)
    return path


def test_the_store_of_the_environment(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, said: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv("AIBENCH_STORE", "elsewhere")
    run("index")
    assert said() == [f"0 runs, 0 series in {Path.cwd()}/elsewhere"]


@pytest.mark.parametrize(
    ("done", "shown"),
    [
        (50, "\rindexing [###############               ] 50/100 records, 4 s left "),
        (100, "\rindexing [##############################] 100/100 records, 0 s left \n"),
    ],
)
def test_progress(
    done: int,
    shown: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 14.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    commands.show_progress(done, 100, started_s=10.0)
    assert capsys.readouterr().err == shown


def test_progress_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    commands.show_progress(50, 100, started_s=0.0)
    commands.show_progress(9, 9, started_s=0.0)
    assert capsys.readouterr().err == ""


def test_push(store: LocalStore, said: Callable[[], list[str]]) -> None:
    assert run("push") == 0
    assert said() == ["nothing waits to be sent"]
    Path(store.location).write_text("in the way")
    keep_run(store, run_of())
    assert run("push") == 1
    assert said() == [
        f"still waiting: cannot write records to {store.location}: {store.location} is no folder; "
        "choose another folder with --aibench-store or use --aibench-no-store"
    ]
    Path(store.location).unlink()
    assert run("push") == 0
    assert said() == [f"sent: {store.where(run_name(run_of()))}"]


def test_gc_lists_before_it_deletes(store: LocalStore, said: Callable[[], list[str]]) -> None:
    for stem in (OLD, NEW):
        for suffix in (".json", ".samples.npz"):
            store.create(stem + suffix, b"x" * 300_000)
    everything = store.files()
    assert run("gc") == 0
    listed = f"    0.3 MB  {store.where(OLD)}.samples.npz"
    assert said() == [listed, "would delete 1 files, 0.3 MB: add --yes to do it"]
    assert store.files() == everything
    assert run("gc", "--yes") == 0
    assert said() == [listed, "deleted 1 files, 0.3 MB"]
    assert [file.name for file in store.files()] == [
        f"{OLD}.json",
        f"{NEW}.json",
        f"{NEW}.samples.npz",
    ]


def test_gc_keeps_the_samples_of_named_runs(
    store: LocalStore, said: Callable[[], list[str]]
) -> None:
    samples = SamplesFile(name=f"{OLD}.samples.npz", sha256="")
    entry = replace(benchmark("a.py::test"), samples=samples)
    write_run(store, run_of(entry))
    store.create(samples.name, b"")
    run("gc", "--yes", "--keep", run_of().run_id)
    assert said() == ["deleted 0 files, 0.0 MB"]
    run("gc", "--yes")
    assert said()[-1] == "deleted 1 files, 0.0 MB"


def test_gc_keeps_the_samples_of_accepted_runs(
    store: LocalStore, said: Callable[[], list[str]]
) -> None:
    samples = SamplesFile(name=f"{OLD}.samples.npz", sha256="")
    accepted = run_of(replace(benchmark("a.py::test"), samples=samples))
    write_run(store, accepted)
    store.create(samples.name, b"")
    accept(store, accepted, benchmark="*", metric="*", reason="a larger model")
    run("gc", "--yes")
    assert said() == ["deleted 0 files, 0.0 MB"]


def test_gc_keeps_as_many_days_as_told(store: LocalStore, said: Callable[[], list[str]]) -> None:
    store.create(f"{OLD}.samples.npz", b"")
    run("gc", "--keep-days", "100000")
    assert said()[-1].startswith("would delete 0 files")


def test_gc_takes_what_killed_sessions_left(store: LocalStore) -> None:
    """A half-written file of long ago and a partial file that nobody recovered; not of today."""
    store.create(f"{OLD.replace('2020010', '.2020010')}.json.7.tmp", b"")
    store.create(f"{NEW}.json.7.tmp", b"")
    path = leave_partial(store)
    run("gc", "--yes")
    assert path.exists()
    os.utime(path, (1, 1))
    run("gc", "--yes")
    assert not path.exists()
    assert [file.name for file in store.files()] == [f"{NEW}.json.7.tmp"]


def test_gc_leaves_running_sessions_alone(store: LocalStore) -> None:
    partial = Partial(store, run_of())
    (path,) = partial_files(store)
    os.utime(path, (1, 1))
    run("gc", "--yes")
    assert path.exists()
    partial.remove()


def test_gc_leaves_alone_what_has_no_date(store: LocalStore) -> None:
    store.create("runs/99999/99/99/1.samples.npz", b"")
    run("gc", "--yes")
    assert len(store.files()) == 1


@pytest.mark.parametrize("days", ["-1", "9999999"])
def test_days_that_cannot_be(days: str) -> None:
    with pytest.raises(UserError, match=f"--keep-days {days}: give 0 to 100000 days"):
        run("gc", "--keep-days", days)
