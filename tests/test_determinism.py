"""What a record says of whether a training can be repeated."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pytest_aibench.datasets import base
from pytest_aibench.devices import resolve
from pytest_aibench.training.trainer import Way, train
from tests.clouds import TASK, cross_entropy, learning, register_clouds

CPU = resolve("cpu")[0]


@pytest.fixture(autouse=True)
def clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_LOADERS", dict(base._LOADERS))
    register_clouds()


def scattering(model: nn.Module, points: Tensor, classes: Tensor) -> Tensor:
    """Warn as torch does where operations of a GPU are asked to be deterministic."""
    if torch.are_deterministic_algorithms_enabled():
        for text in (
            "scatter_add_cuda_kernel does not have a deterministic implementation, but you set it",
            "Deterministic behavior was enabled, but this operation is not deterministic because\n"
            "it uses CuBLAS and you have CUDA >= 10.2",
            "something else",
        ):
            warnings.warn(text, stacklevel=1)
    return cross_entropy(model, points, classes)


def test_operations_that_differ_from_run_to_run_are_named() -> None:
    found = train(learning(loss=scattering), CPU, seed=0).determinism
    assert found == {
        "deterministic_algorithms": False,
        "cudnn_benchmark": False,
        "threads": 1,
        "nondeterministic_operations": ["cuBLAS", "scatter_add_cuda_kernel"],
    }
    assert train(TASK, CPU, seed=0).determinism["nondeterministic_operations"] == []


def test_settings_are_those_in_force_and_stay_so() -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        found = train(replace(TASK, cpu_threads=2), CPU, seed=0).determinism
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert (found["deterministic_algorithms"], found["threads"]) == (True, 2)
    train(TASK, CPU, seed=0)
    assert not torch.are_deterministic_algorithms_enabled()


def test_of_compiled_steps_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda loss: loss)
    found = train(TASK, CPU, seed=0, way=Way(compiled=True)).determinism
    assert "nondeterministic_operations" not in found
