"""AIBench's component tasks, one folder each; a new task is a new folder with a ``TASK``."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from pytest_aibench.training import Task


def all_tasks() -> tuple[Task, ...]:
    """The tasks of all folders, in the order of AIBench's component numbers."""
    tasks = [import_module(f"{__name__}.{folder.name}").TASK for folder in iter_modules(__path__)]
    return tuple(sorted(tasks, key=lambda task: int(task.component.removeprefix("C"))))
