"""AIBench's component tasks: each is trained to its quality target, and served under load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.components import all_tasks, first_task, full_tasks
from pytest_aibench import BatchingServer, Offline, Scenario, Server, read_settings
from pytest_aibench.datasets import get
from pytest_aibench.report.behaviour import SUBSET
from pytest_aibench.training import cpu_threads, quantization

if TYPE_CHECKING:
    from pytest_aibench.devices import Device
    from pytest_aibench.inference.runner import LoadGenerator
    from pytest_aibench.training import Task, Trainer

PERFORMANCE_SAMPLES = 1024
"""How many samples are in memory during a load; MLPerf's number for images."""

MAX_BATCH = 16
"""Samples in a call offline. A throughput asks for 100 calls: with 32 samples C14 took 20 s."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests with all tasks of the session's scale."""
    tasks = _tasks(read_settings(metafunc.config).scale)
    if "scenario" in metafunc.fixturenames:
        loads = [
            pytest.param(task, scenario, id=f"{task}-{scenario.id}", marks=marks)
            for task, marks in tasks
            for scenario in task.scenarios
        ]
        metafunc.parametrize(("task", "scenario"), loads)
    else:
        trainings = [pytest.param(task, id=str(task), marks=marks) for task, marks in tasks]
        metafunc.parametrize("task", trainings)


def _tasks(scale: str) -> list[tuple[Task, list[pytest.MarkDecorator]]]:
    """Each task with its marks; one that is not there at full scale yet is skipped."""
    if scale == "embedded":
        return [(task, _marks(task)) for task in all_tasks()]
    full = full_tasks()
    return [
        (full[task.name], _marks(task))
        if task.name in full
        else (task, [*_marks(task), pytest.mark.skip(_missing(task))])
        for task in all_tasks()
    ]


def _marks(task: Task) -> list[pytest.MarkDecorator]:
    stands_for_all = task.component in SUBSET and first_task(task.component) is task
    return [pytest.mark.subset] if stands_for_all else []


def _missing(task: Task) -> str:
    first = first_task(task.component)
    if first is not task:
        return f"{task.component} at full scale is {first.name}"
    return f"{task.component} has no full task yet: {task.name} runs with --aibench-scale embedded"


@pytest.mark.train
def test_training(trainer: Trainer, precision: str, task: Task) -> None:
    """A task learns what it should within its epochs and its time."""
    run = trainer.run(task, precision=precision)
    run.require(**{task.metric: task.bound()}, time_to_quality=task.time_to_quality)


def test_inference(
    loadgen: LoadGenerator,
    trainer: Trainer,
    device: Device,
    precision: str,
    task: Task,
    scenario: Scenario,
) -> None:
    """A trained model answers as well as it should, and as fast."""
    state_dict, provenance = trainer.trained(task)
    dataset = get(task.dataset)
    model = task.serve(state_dict, device, precision)
    reference = "trained" if precision == "fp32" else "fp32"
    with cpu_threads(task.cpu_threads):
        result = loadgen.run(
            BatchingServer(model) if isinstance(scenario, Server) else model,
            dataset,
            scenario,
            performance_samples=min(PERFORMANCE_SAMPLES, len(dataset)),
            bounds={"throughput": task.throughput} if isinstance(scenario, Offline) else {},
            max_batch=MAX_BATCH,
            references={
                "trained": provenance[task.metric],
                "fp32": task.serve(state_dict, device, "fp32"),
            },
            # In int8 the range of a batch's activations is that of its samples together.
            may_differ=1.0 if precision == "int8" else 0.0,
            provenance={**provenance, **quantization(model)},
        )
    result.require(**{task.metric: task.bound(reference)})
