"""What takes a training's steps: the ordinary learner, and one of the user's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from pytest_aibench.datasets import Dataset, base, register
from pytest_aibench.devices import resolve
from pytest_aibench.training import Learner, Supervised
from pytest_aibench.training.trainer import train
from tests.clouds import TASK, cross_entropy, falling, learning, register_clouds, two_clouds

CPU = resolve("cpu")[0]


@pytest.fixture(autouse=True)
def clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_LOADERS", dict(base._LOADERS))
    register_clouds()


def step_length(clip_norm: float | None) -> float:
    """How far the weights move in one step of length 1 along their gradients."""
    torch.manual_seed(0)
    model = nn.Linear(2, 2)
    before = [weight.detach().clone() for weight in model.parameters()]
    learner = Supervised(
        loss=lambda model, inputs, references: model(inputs).square().sum(),
        optimizer=lambda model: SGD(model.parameters(), lr=1.0),
        schedule=falling,
        clip_norm=clip_norm,
    )(model, 1)
    learner.step(torch.ones(8, 2), torch.zeros(8))
    moves = [new - old for new, old in zip(model.parameters(), before, strict=True)]
    return float(torch.cat([move.flatten() for move in moves]).norm().item())


def test_gradients_are_clipped_together() -> None:
    assert step_length(None) > 1
    assert step_length(0.25) == pytest.approx(0.25)


def test_a_step_gives_the_loss_without_gradient() -> None:
    model = nn.Linear(2, 2)
    points, classes = torch.ones(4, 2), torch.zeros(4, dtype=torch.int64)
    expected = cross_entropy(model, points, classes).item()
    assert isinstance(TASK.learner, Supervised)
    loss = TASK.learner(model, 1).step(points, classes)
    assert loss.item() == expected
    assert not loss.requires_grad


class Perceptron:
    """A learner of the user's own: Rosenblatt's rule, without loss and optimiser."""

    def __init__(self, model: nn.Linear) -> None:
        self._model = model

    @torch.no_grad()
    def step(self, inputs: Tensor, references: Tensor) -> Tensor:
        """Move the weights towards samples that are taken for another class."""
        scores = self._model(inputs)
        answers = nn.functional.one_hot(scores.argmax(1), 2)
        errors = (nn.functional.one_hot(references, 2) - answers).float()
        self._model.weight += errors.T @ inputs
        return errors.abs().mean()


def test_any_learner_will_do() -> None:
    def learner(model: Any, steps: int) -> Learner:
        assert steps == 8 * 4
        return Perceptron(model)

    result = train(replace(TASK, learner=learner), CPU, seed=0, target=2.0)
    assert result.quality.value == 1
    assert [epoch.loss for epoch in result.epochs[-3:]] == [0, 0, 0]


def with_fields(split: str) -> Dataset:
    """Samples and references with named fields, some of which the model must combine."""
    data = two_clouds(split)
    samples = np.zeros(len(data), dtype=[("x", np.float32), ("y", np.float32), ("id", np.int16)])
    samples["x"], samples["y"] = data.samples.T
    samples["id"] = np.arange(len(data))
    references = data.references
    if split == "train":
        references = np.zeros(len(data), dtype=[("class", np.int64), ("weight", np.float32)])
        references["class"], references["weight"] = data.references, 1
    return replace(data, name="fields", samples=samples, references=references)


class FieldsModel(nn.Module):
    """A line that takes its two coordinates by name."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(2, 2)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Classify."""
        classes: Tensor = self.line(torch.stack([inputs["x"], inputs["y"]], 1))
        return classes


def weighted(model: nn.Module, inputs: dict[str, Tensor], references: dict[str, Tensor]) -> Tensor:
    assert {len(values) for values in (*inputs.values(), *references.values())} <= {16, 12}
    losses = nn.functional.cross_entropy(model(inputs), references["class"], reduction="none")
    return (losses * references["weight"]).mean()


def test_named_fields_reach_the_learner_as_dicts() -> None:
    register("fields")(with_fields)
    task = replace(learning(loss=weighted), dataset="fields", build=FieldsModel)
    assert train(task, CPU, seed=0).reached_target
