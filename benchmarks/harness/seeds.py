"""Whether every task reaches its target on seeds that were not used to choose its settings.

Run it from the repository with ``python -m benchmarks.harness.seeds``, on an idle machine;
``--task NAME`` and ``--seeds 0-4`` choose. A target counts where it beats the trivial answer, whose
quality stands beside.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from functools import partial

from benchmarks.components import all_tasks, task
from benchmarks.harness._rows import Row, run
from pytest_aibench.devices import resolve
from pytest_aibench.training import Task, Trainer
from pytest_aibench.training.runner import TrainingRun

UNSEEN = range(10, 15)
MAX_SECONDS = 120


def main() -> int:
    """Train each task on each seed."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--task", action="append", default=[], help="train this one; may repeat")
    parser.add_argument("--seeds", type=seeds, default=UNSEEN, help="like 10-14, the default")
    chosen, sys.argv[1:] = parser.parse_known_args()
    tasks = tuple(map(task, chosen.task)) or all_tasks()
    return run(__doc__.splitlines()[0], partial(measure, tasks, chosen.seeds))


def seeds(text: str) -> range:
    """``10-14`` or ``3`` as numbers."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def measure(tasks: Iterable[Task], seeds: Sequence[int]) -> list[Row]:
    """The rows of all these tasks and seeds."""
    trainer = Trainer(
        device=resolve("cpu")[0], scale="embedded", settle=lambda run, outcome: None, progress=_show
    )
    return [row for task in tasks for seed in seeds for row in _rows(trainer.run(task, seed=seed))]


def _rows(run: TrainingRun) -> list[Row]:
    task, trivial = run.task, run.baseline.value
    (result,) = run.result.by_seed
    reached, duration_s = result.reached_target, result.duration_s
    goal = f"reaches {result.target:g}, which beats the {task.baseline.name}"
    figures = [
        (task.metric, result.quality.value, trivial, goal, reached and not run.violations),
        ("epochs", len(result.epochs), None, f"at most {task.max_epochs}", reached),
        ("seconds", duration_s, None, f"at most {MAX_SECONDS}", duration_s <= MAX_SECONDS),
    ]
    return [
        Row(f"{task.name}, seed {result.seed}: {name}", ours, other, None, goal, met)
        for name, ours, other, goal, met in figures
        if ours is not None
    ]


def _show(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
