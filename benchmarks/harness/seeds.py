"""Whether every task reaches its target on seeds that were not used to choose its settings.

Run it from the repository with ``python -m benchmarks.harness.seeds``, on an idle machine.
"""

from __future__ import annotations

import sys

from benchmarks.components import all_tasks
from benchmarks.harness._rows import Row, run
from pytest_aibench.devices import resolve
from pytest_aibench.training import Task
from pytest_aibench.training.trainer import train

SEEDS = range(10, 15)
MAX_SECONDS = 20


def main() -> int:
    """Train each task on each seed."""
    return run("Train every task on five seeds.", measure)


def measure() -> list[Row]:
    """The rows of all tasks and seeds."""
    return [row for task in all_tasks() for seed in SEEDS for row in _rows(task, seed)]


def _rows(task: Task, seed: int) -> list[Row]:
    result = train(task, resolve("cpu")[0], seed=seed, progress=_show)
    reached = result.reached_target
    figures = [
        (task.metric, result.quality.value, f"reaches {task.target:g}", reached),
        ("epochs", len(result.epochs), f"at most {task.max_epochs}", reached),
        ("seconds", result.duration_s, f"at most {MAX_SECONDS}", result.duration_s <= MAX_SECONDS),
    ]
    return [
        Row(f"{task.name}, seed {seed}: {name}", ours, None, None, goal, met)
        for name, ours, goal, met in figures
        if ours is not None
    ]


def _show(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
