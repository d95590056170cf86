"""The command that writes the HTML report of a store."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_aibench.commands import report
from pytest_aibench.errors import UserError
from pytest_aibench.results.locations import open_store
from pytest_aibench.results.schema import Metric
from pytest_aibench.results.store import write_run
from tests.records import benchmark, run_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AIBENCH_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def aibench_report(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    report.add_arguments(parser)
    return report.run(parser.parse_args(arguments))


def store_runs(*values_ms: float) -> None:
    store = open_store(".aibench")
    for number, value in enumerate(values_ms):
        figure = Metric(value=value, low=value, high=value, better="lower", n=9)
        entry = replace(benchmark("t.py::test[a]"), metrics={"p99_ms": figure}, precision="bf16")
        run = run_of(entry, run_id=f"01JD8Z{number:020}")
        started_at = f"2026-03-{1 + number // 24:02}T{number % 24:02}:00:00+00:00"
        write_run(store, replace(run, started_at=started_at))


def embedded(path: Path) -> Any:
    page = path.read_text(encoding="utf-8")
    (text,) = re.findall(r'id="data">(.*?)</script>', page)
    return json.loads(text)


def test_the_store_becomes_a_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_runs(10, 11, 12)
    assert aibench_report("-o", "page.html", "--title", "Ours & theirs") == 0
    size = (folder / "page.html").stat().st_size
    assert capsys.readouterr().out == f"wrote page.html: 1 series, {size / 1e6:.1f} MB\n"
    data = embedded(folder / "page.html")
    (series,), (entry,) = data["series"], data["benchmarks"]
    assert (series["n"], series["latest"]) == (3, [12.0, 12.0, 12.0])
    assert (entry["name"], entry["precision"]) == ("t.py::test[a]", "bf16")
    assert "<title>Ours &amp; theirs</title>" in (folder / "page.html").read_text("utf-8")


def test_a_change_of_level_is_marked(folder: Path) -> None:
    store_runs(*(level + number % 3 for level in (100, 150) for number in range(20)))
    aibench_report()
    (series,) = embedded(folder / "aibench-report.html")["series"]
    (change,) = series["changes"]
    assert (change["index"], change["worse"], change["confirmed"]) == (20, True, True)
    assert change["ratio"] == pytest.approx(151 / 101)


def test_only_the_last_runs_are_shown(folder: Path) -> None:
    store_runs(10, 11, 12)
    aibench_report("--last", "2")
    data = embedded(folder / "aibench-report.html")
    assert data["series"][0]["n"] == len(data["runs"]["id"]) == 2


def test_files_left_out_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_runs(10)
    foreign = next(folder.glob(".aibench/runs/*/*/*")) / "20260301T000000Z-FOREIGN.json"
    foreign.write_text("{}")
    aibench_report()
    assert "left out: " in capsys.readouterr().out
    assert "Left out" in (folder / "aibench-report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--store", "empty"],
            "no records in .*empty: run benchmarks first or name the store with --store$",
        ),
        (["--last", "0"], "^--last 0 leaves nothing to show: give 1 or more$"),
        (
            ["-o", "missing/page.html"],
            "^cannot write missing/page.html: no such file or directory; name another file",
        ),
    ],
)
def test_mistakes_say_what_to_do(arguments: list[str], message: str) -> None:
    store_runs(10)
    with pytest.raises(UserError, match=message):
        aibench_report(*arguments)
