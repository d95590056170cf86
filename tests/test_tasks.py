"""The suite's tasks."""

from __future__ import annotations

import pytest

from benchmarks.components import all_tasks, first_task, image_classification, task
from pytest_aibench import datasets
from pytest_aibench.devices import resolve
from pytest_aibench.errors import Unsupported
from pytest_aibench.quality.metrics import metric
from pytest_aibench.training import Resumable, Task, cast
from pytest_aibench.units import RATE, TIME

TASKS = all_tasks()
CONVOLUTIONS_ALONE = {"image_compression", "image_to_image"}


def test_every_folder_is_a_task() -> None:
    assert len({task.name for task in TASKS}) == len(TASKS)
    assert image_classification.TASK in TASKS
    assert all(task(one.name) is one for one in TASKS)


def test_tasks_are_in_the_order_of_aibench() -> None:
    numbers = [int(task.component[1:]) for task in TASKS]
    assert numbers == sorted(numbers)


def is_first(task: Task) -> bool:
    return first_task(task.component) is task


def test_a_component_is_known_by_one_task() -> None:
    assert len({task.component for task in TASKS}) == sum(map(is_first, TASKS)) == 17
    others = [task.name for task in TASKS if not is_first(task)]
    assert others == ["image_classification_mnist", "translation_sentences"]


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_task_names_what_there_is(task: Task) -> None:
    assert task.dataset in datasets.registered()
    assert metric(task.metric).name == task.metric
    assert {scenario.name for scenario in task.scenarios} == (
        {"single_stream", "multi_stream", "server", "offline"} if is_first(task) else {"offline"}
    )
    assert task.throughput.limit.unit == RATE
    assert task.time_to_quality.limit.unit == TIME
    assert task.baseline.name
    assert task.provenance


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_a_training_can_be_interrupted(task: Task) -> None:
    assert isinstance(task.learner(task.build(), 100), Resumable)


def test_models_are_served_in_int8_unless_all_of_them_is_convolutions() -> None:
    without = set()
    for one in TASKS:
        try:
            cast(one.build(), resolve("cpu")[0], "int8")
        except Unsupported:
            without.add(one.name)
    assert without == CONVOLUTIONS_ALONE
