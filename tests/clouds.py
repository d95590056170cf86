"""A task that is learnt in milliseconds: which of two clouds a point belongs to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch._dynamo  # noqa: F401  Pytester forgets what projects import; this only goes once.
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler

from pytest_aibench.bounds import at_least, at_most
from pytest_aibench.datasets import Dataset, register
from pytest_aibench.scenarios import Offline
from pytest_aibench.training import Baseline, Supervised, Task, TensorPredictor

N_SAMPLES = 60


def two_clouds(split: str) -> Dataset:
    """Points around (-1, -1) and (1, 1): a line between the classes is easily found."""
    rng = np.random.Generator(np.random.PCG64(split == "train"))
    classes = np.arange(N_SAMPLES) % 2
    centres = 2 * classes[:, np.newaxis] - 1
    points = (centres + rng.normal(0, 0.3, (N_SAMPLES, 2))).astype(np.float32)
    return Dataset("clouds", split, points, classes, "CC0-1.0", "made here")


def with_labels_shuffled_in_training(split: str) -> Dataset:
    """Fault: half of the labels of each class are wrong, so that there is nothing to learn."""
    data = two_clouds(split)
    if split == "test":
        return data
    return replace(data, references=np.arange(N_SAMPLES) // 2 % 2)


def with_labels_swapped_in_test(split: str) -> Dataset:
    """Who evaluates on the training data will not notice."""
    data = two_clouds(split)
    return data if split == "train" else replace(data, references=1 - data.references)


def with_training_points_in_test(split: str) -> Dataset:
    """Fault: two points of the test split were trained on."""
    data, known = two_clouds(split), two_clouds("train").samples
    return data if split == "train" else replace(data, samples=np.r_[data.samples[2:], known[:2]])


def register_clouds() -> None:
    """Make the data sets known."""
    register("clouds")(two_clouds)
    register("shuffled")(with_labels_shuffled_in_training)
    register("swapped")(with_labels_swapped_in_test)
    register("leaking")(with_training_points_in_test)


def linear() -> nn.Module:
    """A line."""
    return nn.Linear(2, 2)


def cross_entropy(model: nn.Module, points: Tensor, classes: Tensor) -> Tensor:
    """The loss."""
    return nn.functional.cross_entropy(model(points), classes)


def descent(model: nn.Module) -> Optimizer:
    """Steepest descent."""
    return SGD(model.parameters(), lr=0.1)


def falling(optimizer: Optimizer, steps: int) -> LRScheduler:
    """Down to a tenth."""
    return LinearLR(optimizer, 1.0, 0.1, total_iters=steps)


def first_class(train: Dataset, test: Dataset) -> list[int]:
    """The trivial answer, right for every other point."""
    return [0] * len(test)


LEARNER = Supervised(loss=cross_entropy, optimizer=descent, schedule=falling)

TASK = Task(
    name="clouds",
    component="C0",
    title="Two clouds",
    dataset="clouds",
    metric="top1",
    target=0.95,
    max_epochs=8,
    batch_size=16,
    cpu_threads=1,
    build=linear,
    learner=LEARNER,
    predictor=TensorPredictor,
    baseline=Baseline(name="first class", answer=first_class),
    time_to_quality=at_most("1 min"),
    scenarios=(Offline(),),
    throughput=at_least("1 samples/s"),
    provenance={"data": "made here"},
)


def learning(**changes: Any) -> Task:
    """The task with another loss, optimiser, schedule, augmentation or clipping."""
    return replace(TASK, learner=replace(LEARNER, **changes))
