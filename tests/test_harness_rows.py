"""Rows of the harness scripts: their table, their JSON, and the exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.harness import loadgen_vs_official
from benchmarks.harness._rows import Row, run, table
from benchmarks.harness.loadgen_vs_official import QUICK, Goal, trace_row

MET = Row("instructions", 772_800_000, 858_800_000, 0.89986, "at most 1.02", True)
MISSED = Row("processes started", 1, None, None, "0", False)


def run_rows(rows: Sequence[Row], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["harness", *arguments])
    return run("What it costs.", lambda: rows)


def test_table() -> None:
    assert [line.rstrip() for line in table([MET, MISSED]).splitlines()] == [
        "measure                 ours      other    ratio  goal          met",
        "-----------------  ---------  ---------  -------  ------------  -----",
        "instructions       772800000  858800000   0.8999  at most 1.02  yes",
        "processes started          1          -        -  0             NO",
    ]


@pytest.mark.parametrize(
    ("rows", "status"), [([MET], 0), ([MET, MISSED], 1), ([MISSED], 1), ([], 1)]
)
def test_exit_status(rows: list[Row], status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_rows(rows, monkeypatch) == status


def test_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.json"
    run_rows([MET, MISSED], monkeypatch, "--json", str(path))
    assert capsys.readouterr().out == table([MET, MISSED]) + "\n"
    rows = json.loads(path.read_text())
    assert [list(row) for row in rows] == [["measure", "ours", "other", "ratio", "goal", "met"]] * 2
    assert [Row(**row) for row in rows] == [MET, MISSED]


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (Goal("speed", "per_s", 2, at_least=True), True),
        (Goal("speed", "per_s", 2.1, at_least=True), False),
        (Goal("speed", "per_s", 2, at_least=False), True),
        (Goal("speed", "per_s", 1.9, at_least=False), False),
    ],
)
def test_a_goal_is_for_the_medians(goal: Goal, met: bool) -> None:
    pairs = [({"per_s": ours}, {"per_s": other}) for ours, other in [(1, 9), (8, 4), (9, 1)]]
    words = f"at {'least' if goal.at_least else 'most'} {goal.limit} times"
    assert goal.row(pairs) == Row("speed", 8, 4, 2, words, met)


@pytest.mark.parametrize(("traced_per_s", "met"), [(100, True), (99, False)])
def test_what_a_trace_costs_each_tool(
    traced_per_s: float, met: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole_run(per_s: float) -> dict[str, float]:
        return {"whole_run_per_s": per_s}

    monkeypatch.setattr(
        loadgen_vs_official,
        "ours",
        lambda *_, trace, min_queries: whole_run(traced_per_s if trace else 130),
    )
    monkeypatch.setattr(
        loadgen_vs_official,
        "official",
        lambda *_, trace, min_query_count: lambda: whole_run(10 if trace else 26),
    )
    row = trace_row(QUICK)
    cost = 130 / traced_per_s
    assert (row.ours, row.other, row.ratio) == (cost, 2.6, cost / 2.6)
    assert (row.goal, row.met) == ("ours at most 1.3", met)
