"""AIBench's component tasks, one folder each; a new task is a new folder with a ``TASK``.

``FULL`` is the paper's model, to be counted, and ``FULL_TASK`` the same task with it and with the
paper's data, for ``--aibench-scale full``.

Names that begin with an underscore are what several folders share.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from benchmarks.components._full import FullModel
from pytest_aibench.training import Task


def all_tasks() -> tuple[Task, ...]:
    """The tasks of all folders, in the order of AIBench's component numbers, then by name."""
    tasks: list[Task] = [_folder(name).TASK for name in _names()]
    return tuple(sorted(tasks, key=lambda task: int(task.component.removeprefix("C"))))


def first_task(component: str) -> Task:
    """The task that a component is known by; further ones have other data."""
    return next(task for task in all_tasks() if task.component == component)


def full_tasks() -> dict[str, Task]:
    """The tasks at the paper's size, by folder; not every folder has one."""
    folders = {name: _folder(name) for name in _names()}
    return {name: one.FULL_TASK for name, one in folders.items() if hasattr(one, "FULL_TASK")}


def task(name: str) -> Task:
    """The task of one folder."""
    found: Task = _folder(name).TASK
    return found


def full_models() -> dict[str, FullModel]:
    """The paper's models at full size, by folder."""
    folders = {name: _folder(name) for name in _names()}
    return {name: folder.FULL for name, folder in folders.items() if hasattr(folder, "FULL")}


def _names() -> list[str]:
    return [folder.name for folder in iter_modules(__path__) if not folder.name.startswith("_")]


def _folder(name: str) -> ModuleType:
    return import_module(f"{__name__}.{name}")
