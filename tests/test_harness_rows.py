"""Rows of the harness scripts: their table, their JSON, and the exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.harness._rows import Row, run, table

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
