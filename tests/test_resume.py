"""Trainings that are interrupted, and go on later as if they had not been."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from pytest_aibench.datasets import base
from pytest_aibench.devices import resolve
from pytest_aibench.errors import UserError
from pytest_aibench.training import Learner, Task, Trainer
from pytest_aibench.training.checkpoints import StateFile, state_file
from pytest_aibench.training.result import TrainingResult
from pytest_aibench.training.trainer import train
from tests.clouds import TASK, cross_entropy, learning, register_clouds
from tests.fakes import FakeClock

CPU = resolve("cpu")[0]
STEPS_OF_AN_EPOCH = 4
NEVER = 10**6


@pytest.fixture(autouse=True)
def clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_LOADERS", dict(base._LOADERS))
    register_clouds()


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    return state_file(TASK, CPU, seed=0, scale="embedded", cache_dir=tmp_path)


def noisy(points: Tensor) -> Tensor:
    """Draw from all random streams."""
    return points + 0.1 * torch.randn_like(points) * random.random() * np.random.random_sample()


def normalised() -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.1), nn.Linear(2, 2))


def task(interrupted_at: int = NEVER, error: BaseException | None = None) -> Task:
    """Learns with all that has a state, for eight epochs; may be interrupted at a step."""
    n_steps = 0

    def loss(model: nn.Module, points: Tensor, classes: Tensor) -> Tensor:
        nonlocal n_steps
        n_steps += 1
        if n_steps == interrupted_at + 2:  # two go before the training
            raise error or KeyboardInterrupt
        return cross_entropy(model, points, classes)

    changed = learning(
        loss=loss,
        augment=noisy,
        optimizer=lambda model: Adam(model.parameters(), 0.01),
        schedule=lambda optimizer, steps: OneCycleLR(optimizer, 0.01, steps),
    )
    return replace(changed, build=normalised)


def run(task: Task, file: StateFile | None = None, **options: Any) -> TrainingResult:
    return train(task, CPU, **{"seed": 0, "target": 2.0, "state_file": file, **options})


def assert_same(one: TrainingResult, other: TrainingResult) -> None:
    torch.testing.assert_close(one.state_dict, other.state_dict, rtol=0, atol=0)
    assert [epoch.loss for epoch in one.epochs] == [epoch.loss for epoch in other.epochs]
    assert [epoch.quality for epoch in one.epochs] == [epoch.quality for epoch in other.epochs]


@pytest.mark.parametrize(("at_step", "n_epochs"), [(5, 1), (8, 1), (9, 2), (31, 7)])
def test_it_goes_on_as_if_nothing_had_been(file: StateFile, at_step: int, n_epochs: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(task(at_step), file)
    result = run(task(), file)
    assert_same(result, run(task()))
    assert result.resumed_after == (n_epochs,)
    assert result.entry().resumed_after == [n_epochs]
    assert not file.path.exists()


def test_it_may_be_interrupted_again_and_again(file: StateFile) -> None:
    for at_step in (6, 10, 2):
        with pytest.raises(KeyboardInterrupt):
            run(task(at_step), file)
    result = run(task(), file)
    assert_same(result, run(task()))
    assert result.resumed_after == (1, 3)


def test_progress_tells_where_it_goes_on(file: StateFile) -> None:
    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(task(14), file)
    result = run(task(), file, progress=lines.append)
    qualities = [f"top1 {epoch.quality.value:.4g}" for epoch in result.epochs]
    assert lines[:2] == [
        f"clouds, seed 0: going on after epoch 3 of 8, {qualities[2]} (target 2)",
        f"clouds, seed 0: epoch 4 of 8, {qualities[3]} (target 2)",
    ]
    assert len(lines) == 6


def test_in_the_first_epoch_there_is_nothing_to_go_on_from(file: StateFile) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(task(3), file)
    assert not file.path.exists()
    assert run(task(), file).resumed_after == ()


def test_a_training_of_one_epoch_has_no_state_to_remove(file: StateFile) -> None:
    assert run(task(), file, target=0.0).n_epochs == 1
    assert not file.path.exists()


def test_an_error_leaves_the_state_as_well(file: StateFile) -> None:
    with pytest.raises(MemoryError):
        run(task(7, MemoryError()), file)
    assert run(task(), file).resumed_after == (1,)


@dataclass(frozen=True, slots=True)
class SlowFile(StateFile):
    """Takes 100 s to write."""

    clock: FakeClock

    def write(self, state: dict[str, Any]) -> None:
        """Let time pass."""
        self.clock.sleep(100.0)
        StateFile.write(self, state)


def test_seconds_add_up_without_those_of_keeping_the_state(tmp_path: Path) -> None:
    clock = FakeClock()

    def stepping(at_step: int = NEVER) -> Task:
        """Each step takes 1 s."""
        one = task(at_step)
        learner: Callable[[nn.Module, int], Any] = one.learner

        def make(model: nn.Module, steps: int) -> Learner:
            made = learner(model, steps)
            step = made.step

            def slow(inputs: Any, references: Any) -> Tensor:
                clock.sleep(1.0)
                loss: Tensor = step(inputs, references)
                return loss

            made.step = slow
            return made  # type: ignore[no-any-return]

        return replace(one, learner=make)

    file = SlowFile(tmp_path / "state", clock)
    with pytest.raises(KeyboardInterrupt):
        run(stepping(14), file, clock=clock.seconds)
    clock.sleep(5000.0)
    result = run(stepping(), file, clock=clock.seconds)
    expected = [STEPS_OF_AN_EPOCH * number for number in range(1, 9)]
    assert result.entry().seconds_trace == pytest.approx(expected)
    assert result.train_s == pytest.approx(expected[-1])
    ends = [clock.seconds() - (100 + STEPS_OF_AN_EPOCH) * number for number in (4, 3, 2, 1, 0)]
    assert result.windows == tuple((end_s - STEPS_OF_AN_EPOCH, end_s) for end_s in ends)


def test_a_damaged_state_counts_as_absent(file: StateFile) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(task(9), file)
    file.path.write_bytes(file.path.read_bytes()[:-1])
    assert run(task(), file).resumed_after == ()


def test_a_learner_without_parts_cannot_be_resumed(file: StateFile) -> None:
    class Bare:
        def step(self, inputs: Any, references: Any) -> Tensor:
            """Nothing is learnt."""
            return torch.zeros(())

    with pytest.raises(UserError) as error:
        run(replace(TASK, learner=lambda model, steps: Bare()), file)
    assert str(error.value) == (
        "clouds's learner cannot be resumed: give it a method parts() that names its optimisers "
        "and schedules, or leave out --aibench-resume"
    )


def test_each_training_has_a_state_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path))
    trainer = Trainer(device=CPU, scale="embedded", settle=lambda run, outcome: None, resume=True)
    for seed, target in ((0, 2.0), (0, 3.0), (1, 2.0)):
        with pytest.raises(KeyboardInterrupt):
            trainer.run(task(9), seed=seed, target=target)
    with pytest.raises(KeyboardInterrupt):
        trainer.trained(task(9))
    assert len(list((tmp_path / "weights").iterdir())) == 4
    replace(trainer, resume=False).run(task(), target=2.0)
    assert len(list((tmp_path / "weights").iterdir())) == 4


PROJECT = """
from pathlib import Path

from pytest_aibench import at_least
from tests.clouds import cross_entropy, learning, register_clouds

register_clouds()
N_STEPS = 0


def loss(model, points, classes):
    global N_STEPS
    N_STEPS += 1
    if N_STEPS == 8 and not Path("again").exists():
        raise KeyboardInterrupt
    return cross_entropy(model, points, classes)


def test_clouds(trainer):
    trainer.run(learning(loss=loss)).require(top1=at_least(0.9))
"""


def test_a_session_goes_on_where_the_last_one_was_interrupted(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(pytester.path / "cache"))
    pytester.makepyfile(PROJECT)
    options = ("--device=cpu", "--aibench-resume", "-p", "no:randomly")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    stopped = pytester.runpytest_subprocess(*options)  # its process's end frees the device
    assert stopped.ret == pytest.ExitCode.INTERRUPTED
    (pytester.path / "again").touch()
    assert pytester.runpytest(*options).ret == pytest.ExitCode.OK
    *_, last = sorted(pytester.path.glob(".aibench/runs/**/*.json"))
    (entry,) = json.loads(last.read_text())["benchmarks"]
    assert entry["training"]["resumed_after"] == [1]
