"""What all harness scripts share: rows of figures with goals, their table, and the exit status."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tabulate import tabulate


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of ours beside that of another.

    Attributes:
        measure: What was measured, with its unit.
        ours: Our figure.
        other: The figure compared with; None where there is nothing to compare with.
        ratio: ``ours`` over ``other``; None where a ratio says nothing.
        goal: The goal in words, ``none`` for a figure that is only shown.
        met: Whether the goal is met.
    """

    measure: str
    ours: float
    other: float | None
    ratio: float | None
    goal: str
    met: bool


def run(description: str, measure: Callable[[], Sequence[Row]]) -> int:
    """Measure, print the table, write ``--json FILE`` if asked; 0 if every goal is met, else 1."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE")
    arguments = parser.parse_args()
    rows = measure()
    print(table(rows))
    if arguments.json:
        text = json.dumps([asdict(row) for row in rows], indent=2, allow_nan=False)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    return 0 if rows and all(row.met for row in rows) else 1


def table(rows: Sequence[Row]) -> str:
    """The rows as people read them."""
    cells = [
        (row.measure, *map(_number, (row.ours, row.other, row.ratio)), row.goal, _yes_no(row.met))
        for row in rows
    ]
    headers = ("measure", "ours", "other", "ratio", "goal", "met")
    aligned = ("left", "right", "right", "right", "left", "left")
    return tabulate(cells, headers, "simple", disable_numparse=True, colalign=aligned)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value == int(value) else f"{value:.4g}"


def _yes_no(met: bool) -> str:
    return "yes" if met else "NO"
