"""AIBench's component tasks: each is trained to its quality target, and served under load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.components import all_tasks
from pytest_aibench import BatchingServer, Offline, Scenario, Server
from pytest_aibench.datasets import get
from pytest_aibench.training import cpu_threads

if TYPE_CHECKING:
    from pytest_aibench.devices import Device
    from pytest_aibench.inference.runner import LoadGenerator
    from pytest_aibench.training import Task, Trainer

SUBSET = {"C1", "C9", "C16"}
"""AIBench's own choice for those who cannot run all: diverse, repeatable, of accepted metric."""


def _marks(task: Task) -> list[pytest.MarkDecorator]:
    return [pytest.mark.subset] if task.component in SUBSET else []


TASKS = [pytest.param(task, id=str(task), marks=_marks(task)) for task in all_tasks()]
LOADS = [
    pytest.param(task, scenario, id=f"{task}-{scenario.id}", marks=_marks(task))
    for task in all_tasks()
    for scenario in task.scenarios
]


@pytest.mark.train
@pytest.mark.parametrize("task", TASKS)
def test_training(trainer: Trainer, task: Task) -> None:
    """A task learns what it should within its epochs and its time."""
    run = trainer.run(task)
    run.require(**{task.metric: task.bound()}, time_to_quality=task.time_to_quality)


@pytest.mark.parametrize(("task", "scenario"), LOADS)
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
    model = task.serve(state_dict, device, precision)
    reference = "trained" if precision == "fp32" else "fp32"
    with cpu_threads(task.cpu_threads):
        result = loadgen.run(
            BatchingServer(model) if isinstance(scenario, Server) else model,
            get(task.dataset),
            scenario,
            bounds={"throughput": task.throughput} if isinstance(scenario, Offline) else {},
            references={
                "trained": provenance[task.metric],
                "fp32": task.serve(state_dict, device, "fp32"),
            },
            provenance=provenance,
        )
    result.require(**{task.metric: task.bound(reference)})
