"""Intended changes, as files in a store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_aibench.regression.acceptance import (
    Acceptance,
    accept,
    is_before,
    latest,
    matches,
    read_acceptances,
)
from pytest_aibench.results.identity import SeriesKey
from pytest_aibench.results.locations import open_store
from pytest_aibench.results.store import run_files
from tests.records import benchmark, run_of

KEY = SeriesKey(benchmark="a.py::test[cpu]", metric="p50_ms", hardware="cpu", setup="s")


def made(since: str, benchmark: str = "*", metric: str = "*") -> Acceptance:
    return Acceptance(
        benchmark=benchmark,
        metric=metric,
        since=since,
        run_id="R",
        commit="",
        reason="why",
        accepted_at=since,
    )


def test_an_acceptance_is_kept_in_the_store_and_is_no_run(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    run = run_of(benchmark("a.py::test[cpu]"))
    accept(store, run, benchmark="a.py::*", metric="p50_ms", reason="smaller batch")
    (found,), skipped = read_acceptances(store)
    assert (found.since, found.run_id, found.reason) == (
        run.started_at,
        run.run_id,
        "smaller batch",
    )
    assert skipped == {}
    assert run_files(store) == []


@pytest.mark.parametrize("content", ['{"schema": "aibench.acceptance/9"}', "[]", "{", "\x00"])
def test_a_file_that_is_none_is_left_out(tmp_path: Path, content: str) -> None:
    store = open_store(tmp_path / "store")
    accept(store, run_of(), benchmark="*", metric="*", reason="why")
    name = "runs/2026/03/01/20260301T000000Z-01JD8ZZZZZZZZZZZZZZZZZZZZZ.accepted.json"
    store.create(name, content.encode())
    found, skipped = read_acceptances(store)
    assert len(found) == 1
    assert list(skipped) == [name]


@pytest.mark.parametrize(
    ("pattern", "is_of_it"),
    [("*", True), ("a.py::test[cpu]", True), ("a.py::*", True), ("a.py", False), ("a?py*", True)],
)
def test_brackets_of_node_ids_are_just_text(pattern: str, is_of_it: bool) -> None:
    assert matches(KEY.benchmark, pattern) is is_of_it
    assert made("2026-03-01T00:00:00Z", pattern).covers(KEY) is is_of_it


def test_the_newest_of_several_counts() -> None:
    older = made("2026-03-01T12:00:00+00:00")
    newer = made("2026-03-01T13:30:00+02:00", metric="p50_*")
    other = made("2026-03-09T00:00:00Z", metric="top1")
    assert latest([newer, older, other], KEY) == older
    assert latest([replace(newer, since="2026-03-02T00:00:00Z"), older], KEY) != older
    assert latest([], KEY) is None


def test_a_run_is_before_by_its_moment_not_by_its_text() -> None:
    acceptance = made("2026-03-01T12:00:00+00:00")
    assert is_before("2026-03-01T13:30:00+02:00", acceptance)
    assert not is_before("2026-03-01T12:00:00Z", acceptance)
