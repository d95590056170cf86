"""The controller: a network that proposes recurrent cells."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.components.architecture_search.cell import ACTIVATIONS, Architecture

BOUND = 2.5


class Proposal(NamedTuple):
    """A cell, the log of the probability with which it was drawn, and the entropy of the draws."""

    cell: Architecture
    log_probability: Tensor
    entropy: Tensor


class Controller(nn.Module):
    """An LSTM that decides node by node (Pham et al., 2018, section 2.1 and figure 1).

    For each node but the first it points at an earlier node, then it chooses an activation. What
    it decided is what it reads next.
    """

    def __init__(self, nodes: int, width: int = 64) -> None:
        super().__init__()
        self.nodes = nodes
        self.start = nn.Parameter(torch.empty(1, width))
        self.lstm = nn.LSTMCell(width, width)
        self.activation = nn.Linear(width, len(ACTIVATIONS), bias=False)
        self.chosen = nn.Embedding(len(ACTIVATIONS), width)
        self.earlier = nn.Linear(width, width, bias=False)
        self.later = nn.Linear(width, width, bias=False)
        self.pointer = nn.Linear(width, 1, bias=False)
        for weights in self.parameters():
            nn.init.uniform_(weights, -0.1, 0.1)

    def forward(self, *, greedy: bool = False) -> Proposal:
        """Draw a cell at random, or make one of the most probable decisions."""
        draws = _Draws(greedy)
        activations: list[int] = []
        inputs: list[int] = []
        nodes: list[Tensor] = []
        memory = self.lstm(self.start)
        for _ in range(self.nodes):
            if nodes:
                inputs.append(draws.draw(self._pointers(memory[0], nodes)))
                memory = self.lstm(nodes[inputs[-1]], memory)
            nodes.append(memory[0])
            activations.append(draws.draw(self.activation(memory[0])[0]))
            memory = self.lstm(self.chosen.weight[activations[-1], None], memory)
        cell = Architecture(tuple(activations), tuple(inputs))
        return Proposal(cell, draws.log_probability(), draws.entropy())

    def _pointers(self, node: Tensor, nodes: list[Tensor]) -> Tensor:
        """A logit for each of the earlier nodes."""
        match = torch.tanh(self.earlier(torch.cat(nodes)) + self.later(node))
        logits: Tensor = self.pointer(match)[:, 0]
        return logits


class _Draws:
    """Decisions, and how probable they were.

    Logits are bound to +-2.5, so that the controller goes on exploring (there: section 3.1).
    """

    def __init__(self, greedy: bool) -> None:
        self._greedy = greedy
        self._log_probabilities: list[Tensor] = []
        self._entropies: list[Tensor] = []

    def draw(self, logits: Tensor) -> int:
        log_shares = functional.log_softmax(BOUND * torch.tanh(logits), dim=0)
        shares = log_shares.exp()
        chosen = shares.argmax() if self._greedy else torch.multinomial(shares, 1)[0]
        self._log_probabilities.append(log_shares[chosen])
        self._entropies.append(-shares @ log_shares)
        return int(chosen)

    def log_probability(self) -> Tensor:
        return torch.stack(self._log_probabilities).sum()

    def entropy(self) -> Tensor:
        return torch.stack(self._entropies).sum()
