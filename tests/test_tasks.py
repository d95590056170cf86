"""The suite's tasks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmarks.components import all_tasks, image_classification
from benchmarks.components.image_classification.model import ResNet8
from benchmarks.components.image_classification.task import shift
from pytest_aibench import datasets
from pytest_aibench.quality.metrics import metric
from pytest_aibench.training.task import Task
from pytest_aibench.units import RATE, TIME


def test_every_folder_is_a_task() -> None:
    tasks = {task.name: task for task in all_tasks()}
    assert tasks["image_classification"] is image_classification.TASK
    assert len(tasks) == len(all_tasks())


@pytest.mark.parametrize("task", all_tasks(), ids=lambda task: task.name)
def test_task_names_what_there_is(task: Task) -> None:
    assert len(datasets.get(task.dataset, "train")) > len(datasets.get(task.dataset, "test"))
    assert metric(task.metric).name == task.metric
    assert {scenario.name for scenario in task.scenarios} == {
        "single_stream",
        "multi_stream",
        "server",
        "offline",
    }
    assert task.throughput.limit.unit == RATE
    assert task.time_to_quality.limit.unit == TIME
    assert task.provenance


def test_resnet8_has_the_layers_and_weights_of_its_name() -> None:
    model = ResNet8()
    main_path = [
        module
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)) and "shortcut" not in name
    ]
    convolutions = 9 * (16 + 2 * 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64)
    shortcuts = 16 * 32 + 32 * 64
    normalisations = 2 * (3 * 16 + 3 * 32 + 3 * 64)
    classifier = 64 * 10 + 10
    assert len(main_path) == 8
    assert sum(weight.numel() for weight in model.parameters()) == (
        convolutions + shortcuts + normalisations + classifier
    )
    assert model(torch.zeros(3, 1, 8, 8)).shape == (3, 10)


def test_shift_moves_each_image_by_up_to_a_pixel() -> None:
    torch.manual_seed(0)
    images = torch.rand(200, 2, 5, 4)
    padded = functional.pad(images, (1, 1, 1, 1))
    chosen = set()
    for index, moved in enumerate(shift(images)):
        matches = [
            (down, right)
            for down in range(3)
            for right in range(3)
            if torch.equal(moved, padded[index, :, down : down + 5, right : right + 4])
        ]
        assert len(matches) == 1
        chosen.update(matches)
    assert len(chosen) == 9


def test_digits_fit_the_model() -> None:
    samples = datasets.get("digits").samples
    outputs = ResNet8().eval()(torch.tensor(samples))
    assert outputs.shape == (len(samples), 10)
    assert np.isfinite(outputs.detach().numpy()).all()
