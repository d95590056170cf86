"""Trainings that are interrupted, and go on later as if they had not been."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from pytest_aibench.bounds import Estimate
from pytest_aibench.datasets import base
from pytest_aibench.devices import resolve
from pytest_aibench.errors import UserError
from pytest_aibench.training import Learner, Task, Trainer
from pytest_aibench.training.checkpoints import StateFile, States, state_file
from pytest_aibench.training.result import TrainingResult, Window
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


@pytest.mark.parametrize("parts", [[], None, {"optimizer": 0.1}, {"history": {}}])
def test_parts_that_have_no_state_cannot_be_resumed(file: StateFile, parts: object) -> None:
    class Odd:
        def step(self, inputs: Any, references: Any) -> Tensor:
            """Nothing is learnt."""
            return torch.zeros(())

        def parts(self) -> Any:
            """Something else than a learner should give."""
            return parts

    with pytest.raises(UserError) as error:
        run(replace(TASK, learner=lambda model, steps: Odd()), file)
    assert str(error.value) == (
        "clouds's learner cannot be resumed: have its parts() return a dict, like "
        '{"optimizer": self.optimizer}, of what has state_dict() and load_state_dict()'
    )


def test_each_training_has_a_state_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path))
    trainer = session()
    for seed, target in ((0, 2.0), (0, 3.0), (1, 2.0)):
        with pytest.raises(KeyboardInterrupt):
            trainer.run(task(9), seed=seed, target=target)
    with pytest.raises(KeyboardInterrupt):
        trainer.trained(task(9))
    assert len(list((tmp_path / "weights").iterdir())) == 4
    replace(trainer, states=None).run(task(), target=2.0)
    assert len(list((tmp_path / "weights").iterdir())) == 4


def session(**options: Any) -> Trainer:
    """What a session trains with."""
    return Trainer(
        device=CPU,
        scale="embedded",
        settle=lambda run, outcome: None,
        **{"states": States(), **options},
    )


@pytest.fixture
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Path]]:
    """The states that are kept."""
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path))
    return lambda: sorted((tmp_path / "weights").glob("*.state"))


def joules(value: float) -> Callable[[Sequence[Window]], Estimate]:
    """What a training spends."""
    return lambda windows: Estimate(value=value, unit="J", n=3, by_value=True)


A_TRAINING = 2 + 8 * STEPS_OF_AN_EPOCH
"""Steps, with those that go before it."""


def test_seeds_that_had_ended_are_taken_up_as_they_ended(states: Callable[[], list[Path]]) -> None:
    lines: list[str] = []
    in_the_third = 2 * A_TRAINING + STEPS_OF_AN_EPOCH + 1
    with pytest.raises(KeyboardInterrupt):
        session(seeds=4, energy=joules(5.0)).run(task(in_the_third), target=2.0)
    ended = {result.seed: result for result in map(result_in, states()) if result is not None}
    assert len(states()) == 3
    later = session(seeds=4, energy=joules(7.0), progress=lines.append)
    run = later.run(task(), target=2.0)
    by_seed = run.result.by_seed
    assert [one.resumed_after for one in by_seed] == [(8,), (8,), (1,), ()]
    for one in by_seed[:2]:
        assert_same(one, ended[one.seed])
        assert one.entry().seconds_trace == ended[one.seed].entry().seconds_trace
        assert one.train_s == ended[one.seed].train_s
    assert_same(by_seed[2], train(task(), CPU, seed=2, target=2.0))
    assert [one.energy_j for one in run.entries()] == [5.0, 5.0, None, 7.0]
    assert run.result.estimate("energy_to_quality").why_open == (
        "seed 2 was interrupted, and not watched before: train it in one go"
    )
    assert run.result.window[0] > ended[1].window[1]
    assert lines[0].startswith("clouds, seed 0: had ended after epoch 8 of 8, top1 ")
    assert lines[2].startswith("clouds, seed 2: going on after epoch 1 of 8, top1 ")
    assert len(lines) == 1 + 1 + (1 + 7) + 8
    assert later.states is not None
    assert sorted(later.states.ended) == list(map(str, states()))


def result_in(path: Path) -> TrainingResult | None:
    """The result that a file holds."""
    return StateFile(path).result()


def test_what_did_not_stay_finite_is_taken_up_as_well(states: Callable[[], list[Path]]) -> None:
    def lost(model: nn.Module, points: Tensor, classes: Tensor) -> Tensor:
        return cross_entropy(model, points, classes) * float("nan")

    one, other = (session().run(learning(loss=lost)).result.by_seed[0] for _ in range(2))
    assert (one.resumed_after, other.resumed_after) == ((), (1,))
    assert other.violations == one.violations != ()


def test_a_session_measures_again_what_it_trains_again(states: Callable[[], list[Path]]) -> None:
    trainer = session()
    for _ in range(2):
        (result,) = trainer.run(TASK).result.by_seed
        assert result.resumed_after == ()
    (result,) = session().run(TASK).result.by_seed
    assert result.resumed_after == (result.n_epochs,)


def test_weights_of_a_training_that_had_ended_are_kept(states: Callable[[], list[Path]]) -> None:
    session().run(TASK)
    (weights,) = states()[0].parent.glob("*.pt")
    weights.unlink()
    session().run(TASK)
    assert weights.exists()


def test_seeds_are_kept_until_all_have_ended(states: Callable[[], list[Path]]) -> None:
    trainer = session(seeds=2)
    with pytest.raises(MemoryError):
        trainer.run(task(A_TRAINING + 1, MemoryError()))
    assert len(states()) == 1
    assert trainer.states is not None
    assert trainer.states.ended == []


def test_states_that_nobody_goes_on_from_are_removed(
    states: Callable[[], list[Path]], tmp_path: Path
) -> None:
    (tmp_path / "weights").mkdir()
    day_s, now_s = 86_400, time.time()
    for name, days in (("a.state", 31), ("b.state", 29), ("c.tmp", 31), ("d.tmp", 0), ("e.pt", 99)):
        path = tmp_path / "weights" / name
        path.touch()
        os.utime(path, (now_s, now_s - days * day_s))
    States().file(TASK, CPU, seed=0, scale="embedded")
    left = {path.name for path in (tmp_path / "weights").iterdir()}
    assert left == {"b.state", "d.tmp", "e.pt"}


PROJECT = """
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("target", [0.8, 0.9])
def test_clouds(trainer, target):
    global N_STEPS
    N_STEPS = 0 if target == 0.9 else 1000
    trainer.run(learning(loss=loss), target=target).require(top1=at_least(target))
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
    assert len(list(pytester.path.glob("cache/weights/*.state"))) == 2
    (pytester.path / "again").touch()
    assert pytester.runpytest(*options).ret == pytest.ExitCode.OK
    before, after = (
        [entry["training"] for entry in json.loads(path.read_text())["benchmarks"]]
        for path in sorted(pytester.path.glob(".aibench/runs/**/*.json"))
    )
    n_epochs = before[0]["epochs"]
    assert after[0] == before[0] | {"resumed_after": [n_epochs]}
    assert after[1]["resumed_after"] == [1]
    assert not list(pytester.path.glob("cache/weights/*.state"))
