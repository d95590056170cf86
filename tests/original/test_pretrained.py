"""Weights that a training begins with: found, refused, and there before the first step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import SGD

from benchmarks.components._common import Drops, cross_entropy
from benchmarks.components._pretrained import Pretrained, Weights, begin_with
from pytest_aibench.datasets import DataAbsent, mounting
from pytest_aibench.devices import resolve
from pytest_aibench.errors import UserError
from pytest_aibench.training.distributed import Processes
from pytest_aibench.training.trainer import Way, train
from tests.clouds import TASK, register_clouds

CPU = resolve("cpu")[0]

LEARNER = Pretrained(
    loss=cross_entropy,
    optimizer=lambda model: SGD(model.parameters(), 0.0),
    schedule=Drops(),
    trunk=lambda model: model.get_submodule("0"),
    weights=Weights("weights/trunk.pth", "a trunk"),
)


def test_a_training_begins_with_the_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained, model = nn.Linear(3, 4), nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    (tmp_path / "weights").mkdir()
    torch.save(trained.state_dict(), tmp_path / "weights" / "trunk.pth")
    last = model.state_dict()["1.weight"].clone()
    with mounting(tmp_path):
        learner = LEARNER(model, 1, lambda loss, _: loss, scales=False)  # as a training does
    loss = learner.step(torch.ones(2, 3), torch.tensor([0, 1]))
    assert loss > 0
    assert torch.equal(model.state_dict()["0.weight"], trained.weight)
    assert torch.equal(model.state_dict()["1.weight"], last)


def test_the_trainer_takes_it_for_the_ordinary_learner(tmp_path: Path) -> None:
    """So that several processes can share it, and torch can compile it."""
    register_clouds()
    known = nn.Linear(2, 2)
    with torch.no_grad():  # They tell the clouds apart, and do not change.
        known.weight.copy_(torch.tensor([[-9.0, -9.0], [9.0, 9.0]]))
    (tmp_path / "weights").mkdir()
    torch.save(known.state_dict(), tmp_path / "weights" / "trunk.pth")
    task = replace(TASK, learner=replace(LEARNER, trunk=lambda model: model))
    Way(compiled=True, processes=Processes(0, 2)).check(task, CPU)
    with mounting(tmp_path):
        result = train(task, CPU, seed=0, max_epochs=1)
    assert result.quality.value == 1.0
    assert torch.equal(result.state_dict["weight"], known.weight)


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    with mounting(tmp_path), pytest.raises(DataAbsent) as error:
        LEARNER(nn.Sequential(nn.Linear(3, 4)), 1)
    assert str(error.value) == (
        f"put a trunk under {tmp_path}/weights/trunk.pth as docs/original-data.md describes"
    )


def test_names_and_counts_of_batches_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    norm = nn.BatchNorm1d(2)
    norm.running_mean = torch.tensor([1.0, 2.0])
    state = norm.state_dict()
    del state["num_batches_tracked"]
    torch.save({f"other.{name}": value for name, value in state.items()}, path)
    mine = nn.BatchNorm1d(2)
    begin_with(mine, path)
    assert mine.state_dict()["running_mean"].tolist() == [1, 2]


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save(nn.Linear(2, 3).state_dict(), path)
    for other in (
        nn.Linear(2, 4),
        nn.Linear(3, 3),
        nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)),
    ):
        with pytest.raises(UserError) as error:
            begin_with(other, path)
        assert str(error.value) == (
            f"{path} has the weights of another model: see docs/original-data.md"
        )
