"""Trainings in reduced precision, and compiled ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from pytest_aibench.datasets import base
from pytest_aibench.devices import resolve
from pytest_aibench.errors import Unsupported, UserError
from pytest_aibench.training import Learner, Supervised, Task, TensorPredictor, Trainer
from pytest_aibench.training.checkpoints import States
from pytest_aibench.training.trainer import Way, train
from tests.clouds import TASK, learning, register_clouds

CPU = resolve("cpu")[0]
COMPILED = Way(compiled=True)


@pytest.fixture(autouse=True)
def clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_LOADERS", dict(base._LOADERS))
    register_clouds()


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[GraphModule]:
    """What torch compiles, by a backend that leaves it as it is."""
    compiled: list[GraphModule] = []

    def backend(graph: GraphModule, _: Any) -> Callable[..., Any]:
        compiled.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    return compiled


def own_learner(model: nn.Module, steps: int) -> Learner:
    return TASK.learner(model, steps)


OWN = replace(TASK, learner=own_learner)


@pytest.mark.parametrize(
    ("precision", "computes"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
@pytest.mark.parametrize("supervised", [True, False])
def test_steps_compute_in_the_precision_and_nothing_else_does(
    precision: str, computes: torch.dtype, supervised: bool
) -> None:
    answers: dict[bool, set[torch.dtype]] = {True: set(), False: set()}

    class Noting(nn.Linear):
        def forward(self, points: Tensor) -> Tensor:
            scores = super().forward(points)
            answers[self.training].add(scores.dtype)
            return scores

    task = replace(TASK if supervised else OWN, build=lambda: Noting(2, 2))
    result = train(task, CPU, seed=0, way=Way(precision=precision))
    assert answers == {True: {computes}, False: {torch.float32}}
    assert {weight.dtype for weight in result.state_dict.values()} == {torch.float32}
    assert result.reached_target
    assert (result.entry().precision, result.entry().compiled) == (precision, False)


def test_compiled_steps_are_the_same_steps(graphs: list[GraphModule]) -> None:
    task = replace(TASK, batch_size=20)
    result = train(task, CPU, seed=0, way=COMPILED)
    assert graphs
    torch.testing.assert_close(result.state_dict, train(task, CPU, seed=0).state_dict)
    assert result.entry().compiled


@pytest.mark.parametrize("batch_size", [16, 20])
def test_compilation_counts_to_the_warm_up(batch_size: int, graphs: list[GraphModule]) -> None:
    seen: list[int] = []

    def clock() -> float:
        seen.append(len(graphs))
        return 0.0

    train(replace(TASK, batch_size=batch_size), CPU, seed=0, way=COMPILED, clock=clock)
    _, at_the_beginning, *later = seen
    assert {at_the_beginning} == set(later) != {0}


def test_each_training_is_compiled_however_many_there_are(graphs: list[GraphModule]) -> None:
    n_graphs = []
    for width in range(3, 14):
        layers = nn.Linear(2, width), nn.Linear(width, 2)
        task = replace(TASK, build=partial(nn.Sequential, *layers))
        train(task, CPU, seed=0, way=COMPILED, max_epochs=1)
        n_graphs.append(len(graphs))
    assert n_graphs == sorted(set(n_graphs))


@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_scaled_gradients_take_the_same_steps(clip_norm: float | None) -> None:
    points, classes = torch.randn(8, 2), torch.randint(2, (8,))
    moved = []
    for scales in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(2, 2)
        how = learning(clip_norm=clip_norm).learner
        assert isinstance(how, Supervised)
        learner = how(model, 3, scales=scales)
        losses = [learner.step(points, classes) for _ in range(3)]
        moved.append([*losses, *model.parameters()])
    torch.testing.assert_close(moved[1], moved[0])


@pytest.mark.parametrize(
    ("task", "way", "kind", "message"),
    [
        (
            TASK,
            Way(precision="int4"),
            UserError,
            "no training computes in int4: use one of fp32, bf16, fp16",
        ),
        (
            TASK,
            Way(precision="int8"),
            Unsupported,
            "int8 is for inference: trainings compute in fp32, bf16 or fp16",
        ),
        (
            TASK,
            Way(precision="fp16"),
            Unsupported,
            "trainings compute in fp16 on cuda only: use bf16",
        ),
        (OWN, COMPILED, Unsupported, "clouds's learner does not run compiled"),
    ],
)
def test_what_cannot_be_trained_so(
    task: Task, way: Way, kind: type[UserError], message: str
) -> None:
    with pytest.raises(UserError) as error:
        train(task, CPU, seed=0, way=way)
    assert type(error.value) is kind
    assert str(error.value) == message


@pytest.mark.parametrize("way", [{"precision": "bf16"}, {"compile": True}])
def test_weights_trained_otherwise_are_not_kept(
    way: dict[str, Any], graphs: list[GraphModule], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path))
    trainer = Trainer(device=CPU, scale="embedded", settle=lambda run, outcome: None)
    assert trainer.run(TASK, **way).result.by_seed[0].reached_target
    assert not list(tmp_path.iterdir())


def test_state_of_each_way_is_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(TensorPredictor):
        """Interrupts the second evaluation."""

        n_made = 0

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            Forgetful.n_made += 1
            if Forgetful.n_made % 2 == 0:
                raise KeyboardInterrupt

    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path))
    trainer = Trainer(
        device=CPU, scale="embedded", settle=lambda run, outcome: None, states=States()
    )
    for precision in ("fp32", "bf16"):
        with pytest.raises(KeyboardInterrupt):
            trainer.run(replace(TASK, predictor=Forgetful), precision=precision)
    suffixes = [file.name.partition(".")[2] for file in (tmp_path / "weights").iterdir()]
    assert sorted(suffixes) == ["bf16.state", "fp32.state"]


def test_a_learner_that_is_not_compiled_skips_its_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(pytester.path / "cache"))
    pytester.makepyfile(
        """
        from tests.clouds import register_clouds
        from tests.test_mixed_precision import OWN

        register_clouds()


        def test_own(trainer):
            trainer.run(OWN)
        """
    )
    result = pytester.runpytest("--device=cpu", "--aibench-compile", "-rs", "-p", "no:randomly")
    result.assert_outcomes(skipped=1)
    place = "test_a_learner_that_is_not_compiled_skips_its_test.py:7"
    result.stdout.fnmatch_lines([f"SKIPPED * {place}: clouds's learner does not run compiled"])
