"""The harness script for long histories: its generated records are real ones, and it cleans up."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from benchmarks.harness import history_scale
from benchmarks.harness.history_scale import Size, generate, measure
from pytest_aibench.results.index import Index
from pytest_aibench.results.locations import LocalStore
from pytest_aibench.results.store import read_run, run_files, run_name


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_generated_records_are_real(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    generate(store, Size(runs=3, benchmarks=2, other_runs=0))
    runs = [read_run(store.fetch(file.name)) for file in run_files(store)]
    assert [run_name(run) for run in runs] == [file.name for file in run_files(store)]
    assert [len(run.benchmarks) for run in runs] == [2, 2, 2]
    with Index.opened(store) as index:
        assert index.skipped() == {}
        histories = [[p.value for p in index.points(key)] for key in index.series()]
    assert [len(history) for history in histories] == [3, 3]
    assert len({*histories[0], *histories[1]}) == 6


def test_measuring_says_all_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_scale, "_other_s", lambda folder, size: 1.0)
    rows = {row.measure: row for row in measure(Size(runs=4, benchmarks=3, other_runs=2))}
    assert (rows["runs"].ours, rows["series"].ours) == (4, 3)
    goals = {name: row.goal for name, row in rows.items() if row.goal != "none"}
    assert goals == {
        "one series of all runs, ms": "at most 20",
        "last 30 runs of all series, ms": "at most 1000",
        "gate a session, ms": "at most 1000",
        "append a run, ms": "at most 50",
    }
    assert list(tmp_path.iterdir()) == []
