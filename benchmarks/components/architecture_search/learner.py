"""How shared weights and controller learn in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from benchmarks.components._common import OneCycle
from benchmarks.components.architecture_search.cell import Architecture
from benchmarks.components.architecture_search.model import Search
from pytest_aibench.training import Batch, Stateful

REWARD = 80.0
LEARNING_RATE = 5e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How weights and controller learn.

    Attributes:
        optimizer: Makes what moves the weights.
        schedule: ``(optimizer, steps)`` makes the schedule of its learning rate.
        clip_norm: Longest that all gradients of the weights together may be.
        controller_learning_rate: Of Adam, for the controller.
        controller_interval: Steps of the weights for one of the controller.
        entropy_weight: How much it counts that the controller's choices are even.
    """

    optimizer: Callable[[nn.Module], Optimizer]
    schedule: Callable[[Optimizer, int], LRScheduler]
    clip_norm: float
    controller_learning_rate: float
    controller_interval: int
    entropy_weight: float


def adam(model: nn.Module) -> Optimizer:
    """Adam at the highest learning rate."""
    return Adam(model.parameters(), LEARNING_RATE)


EMBEDDED = Recipe(
    optimizer=adam,
    schedule=OneCycle(LEARNING_RATE, rise=0.1),
    clip_norm=0.5,
    controller_learning_rate=2e-3,
    controller_interval=2,
    entropy_weight=1e-3,
)


class SearchLearner:
    """A step of the weights with a cell that the controller draws, then a step of the controller.

    The controller learns by REINFORCE from the perplexity that a cell of its has, with the weights
    as they are, on text that these do not learn from (Pham et al., 2018, section 2.2).
    """

    def __init__(self, model: nn.Module, steps: int, recipe: Recipe = EMBEDDED) -> None:
        search = cast("Search", model)
        self._recipe = recipe
        self._shared, self._controller = search.shared, search.controller
        self._of_shared = recipe.optimizer(self._shared)
        self._of_controller = Adam(self._controller.parameters(), recipe.controller_learning_rate)
        self._schedule = recipe.schedule(self._of_shared, steps)

    def step(self, inputs: Batch, references: Tensor) -> Tensor:
        """Learn from chunks of both texts; returns the mean loss of a training token in nats."""
        loss = self._teach_weights(inputs["text"], references)
        if self._schedule.last_epoch % self._recipe.controller_interval == 0:
            self._teach_controller(inputs["held_out"], references)
        return loss

    def parts(self) -> Mapping[str, Stateful]:
        """Optimisers and schedule."""
        return {
            "shared": self._of_shared,
            "controller": self._of_controller,
            "rate": self._schedule,
        }

    def _teach_weights(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        with torch.no_grad():
            cell = self._controller().cell
        self._shared.train()
        loss: Tensor = self._shared(tokens, cell).sum() / lengths.sum()
        self._of_shared.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._shared.parameters(), self._recipe.clip_norm)
        self._of_shared.step()
        self._schedule.step()
        return loss.detach()

    def _teach_controller(self, tokens: Tensor, lengths: Tensor) -> None:
        one, other = self._controller(), self._controller()
        advantage = self._reward(one.cell, tokens, lengths) - self._reward(
            other.cell, tokens, lengths
        )
        gain = advantage * (one.log_probability - other.log_probability)
        entropy = one.entropy + other.entropy
        self._of_controller.zero_grad()
        torch.autograd.backward(-gain - self._recipe.entropy_weight * entropy)
        self._of_controller.step()

    def _reward(self, cell: Architecture, tokens: Tensor, lengths: Tensor) -> Tensor:
        """What a cell is worth: the less its perplexity on held-out text, the more."""
        self._shared.eval()
        with torch.no_grad():
            nats: Tensor = self._shared(tokens, cell).sum() / lengths.sum()
        reward: Tensor = REWARD * torch.exp(-nats)
        return reward
