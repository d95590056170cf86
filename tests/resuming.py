"""An interruption between two steps of a learner."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pytest_aibench.training import Learner, Resumable


def goes_on_exactly(
    build: Callable[[], nn.Module],
    make: Callable[[nn.Module, int], Learner],
    batch: tuple[Any, Any],
    *,
    n_before: int,
    n_steps: int = 12,
) -> None:
    """Check that a learner takes up a state as if it had never been interrupted."""

    def steps(learner: Resumable, count: int) -> None:
        for _ in range(count):
            learner.step(*batch)

    torch.manual_seed(0)
    model, learner = _pair(build, make, n_steps)
    steps(learner, n_before)
    model_state = _through_a_file(model.state_dict())
    parts = {name: _through_a_file(part.state_dict()) for name, part in learner.parts().items()}
    stream = torch.get_rng_state()
    steps(learner, n_steps - n_before)

    other_model, other_learner = _pair(build, make, n_steps)
    other_model.load_state_dict(model_state)
    for name, part in other_learner.parts().items():
        part.load_state_dict(parts[name])
    torch.set_rng_state(stream)
    steps(other_learner, n_steps - n_before)
    torch.testing.assert_close(other_model.state_dict(), model.state_dict(), rtol=0, atol=0)


def _pair(
    build: Callable[[], nn.Module], make: Callable[[nn.Module, int], Learner], n_steps: int
) -> tuple[nn.Module, Resumable]:
    model = build()
    learner = make(model, n_steps)
    assert isinstance(learner, Resumable)
    return model, learner


def _through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)
