"""The harness that trains tasks on other seeds."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import seeds
from pytest_aibench.datasets import base
from pytest_aibench.training import Task
from tests.clouds import TASK, register_clouds

TASKS = {
    "clouds": TASK,
    "trivial": replace(TASK, name="trivial", target=0.5),
    "shuffled": replace(TASK, name="shuffled", dataset="shuffled"),
}


@pytest.fixture(autouse=True)
def clouds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(base, "_LOADERS", dict(base._LOADERS))
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path / "cache"))
    register_clouds()

    def all_tasks() -> tuple[Task, ...]:
        return tuple(TASKS.values())

    monkeypatch.setattr(seeds, "task", TASKS.__getitem__)
    monkeypatch.setattr(seeds, "all_tasks", all_tasks)


def run(
    arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, dict[str, Any]]:
    """Exit status, and whether each goal was met, by measure."""
    path = folder / "rows.json"
    monkeypatch.setattr(sys, "argv", ["seeds", *arguments, "--json", str(path)])
    status = seeds.main()
    return status, {row["measure"]: row for row in json.loads(path.read_text())}


def test_chosen_tasks_and_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, rows = run(["--task", "clouds", "--seeds", "3-4"], tmp_path, monkeypatch)
    assert status == 0
    assert list(rows) == [
        f"clouds, seed {seed}: {name}" for seed in (3, 4) for name in ("top1", "epochs", "seconds")
    ]
    quality = rows["clouds, seed 3: top1"]
    assert quality["ours"] >= 0.95
    assert quality["other"] == 0.5
    assert quality["goal"] == "reaches 0.95, which beats the first class"
    assert rows["clouds, seed 3: seconds"]["goal"] == "at most 120"
    assert "clouds, seed 3: epoch 1 of 8, top1" in capsys.readouterr().err


def test_all_tasks_on_one_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, rows = run(["--seeds", "10"], tmp_path, monkeypatch)
    assert status == 1
    met = {name.replace(", seed 10", ""): row["met"] for name, row in rows.items()}
    assert met == {
        "clouds: top1": True,
        "clouds: epochs": True,
        "clouds: seconds": True,
        "trivial: top1": False,
        "trivial: epochs": True,
        "trivial: seconds": True,
        "shuffled: top1": False,
        "shuffled: epochs": False,
        "shuffled: seconds": True,
    }


def test_seeds_are_those_that_chose_no_setting() -> None:
    assert list(seeds.UNSEEN) == [10, 11, 12, 13, 14]
    assert seeds.seeds("10-14") == seeds.UNSEEN
    assert list(seeds.seeds("7")) == [7]
