"""How shared weights and controller learn in turns."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from benchmarks.components.architecture_search.cell import Architecture
from benchmarks.components.architecture_search.model import Search
from pytest_aibench.training import Batch

LEARNING_RATE = 5e-3
CLIP_NORM = 0.5
CONTROLLER_LEARNING_RATE = 2e-3
CONTROLLER_INTERVAL = 2
REWARD = 80.0
ENTROPY_WEIGHT = 1e-3


class SearchLearner:
    """A step of the weights with a cell that the controller draws, then a step of the controller.

    The controller learns by REINFORCE from the perplexity that a cell of its has, with the weights
    as they are, on text that these do not learn from (Pham et al., 2018, section 2.2).
    """

    def __init__(
        self,
        model: nn.Module,
        steps: int,
        controller_learning_rate: float = CONTROLLER_LEARNING_RATE,
    ) -> None:
        search = cast("Search", model)
        self._shared, self._controller = search.shared, search.controller
        self._of_shared = Adam(self._shared.parameters(), LEARNING_RATE)
        self._of_controller = Adam(self._controller.parameters(), controller_learning_rate)
        self._schedule = OneCycleLR(self._of_shared, LEARNING_RATE, steps, pct_start=0.1)
        self._step = 0

    def step(self, inputs: Batch, references: Tensor) -> Tensor:
        """Learn from chunks of both texts; returns the mean loss of a training token in nats."""
        loss = self._teach_weights(inputs["text"], references)
        self._step += 1
        if self._step % CONTROLLER_INTERVAL == 0:
            self._teach_controller(inputs["held_out"], references)
        return loss

    def _teach_weights(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        with torch.no_grad():
            cell = self._controller().cell
        self._shared.train()
        loss: Tensor = self._shared(tokens, cell).sum() / lengths.sum()
        self._of_shared.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._shared.parameters(), CLIP_NORM)
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
        torch.autograd.backward(-gain - ENTROPY_WEIGHT * entropy)
        self._of_controller.step()

    def _reward(self, cell: Architecture, tokens: Tensor, lengths: Tensor) -> Tensor:
        """What a cell is worth: the less its perplexity on held-out text, the more."""
        self._shared.eval()
        with torch.no_grad():
            nats: Tensor = self._shared(tokens, cell).sum() / lengths.sum()
        reward: Tensor = REWARD * torch.exp(-nats)
        return reward
