"""Recurrent cells as points of a search space, and a language model that can run any of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS = (torch.tanh, torch.relu, nn.Identity(), torch.sigmoid)


@dataclass(frozen=True, slots=True)
class Architecture:
    """A recurrent cell (Pham et al., 2018, section 2.1).

    Attributes:
        activations: Of each node, its place in `ACTIVATIONS`.
        inputs: Of each node but the first, the earlier node that it reads. The first reads the
            word and the former state.
    """

    activations: tuple[int, ...]
    inputs: tuple[int, ...]

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Pairs of a node and the one that it reads."""
        return tuple(enumerate(self.inputs, start=1))

    @property
    def loose_ends(self) -> tuple[int, ...]:
        """The nodes that no other reads: their mean is the cell's output."""
        return tuple(node for node in range(len(self.activations)) if node not in self.inputs)


def all_edges(nodes: int) -> tuple[tuple[int, int], ...]:
    """Every pair of a node and an earlier one, which cells of so many nodes may have."""
    return tuple((node, earlier) for earlier, node in combinations(range(nodes), 2))


class LanguageModel(nn.Module):
    """One layer of a recurrent cell between word vectors, which are also the softmax's weights.

    Every edge has weights of its own, which all cells that have it share. Each node passes its
    input on as far as its gate is closed, as in a highway network.
    """

    def __init__(
        self, vocabulary: int, width: int, edges: Iterable[tuple[int, int]], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.from_word = nn.Linear(width, 2 * width, bias=False)
        self.from_state = nn.Linear(width, 2 * width, bias=False)
        self.edges = nn.ModuleDict(
            {_name(edge): nn.Linear(width, 2 * width, bias=False) for edge in edges}
        )
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.words.weight, std=width**-0.5)
        self._scale = width**0.5

    def forward(self, tokens: Tensor, cell: Architecture) -> Tensor:
        """Negative log-likelihood in nats, (n,), of all but the first of tokens (n, 1 + t)."""
        read = self.dropout(self.words(tokens[:, :-1])) * self._scale
        words = self.from_word(read)
        state = words.new_zeros(len(tokens), self.norm.normalized_shape[0])
        states = []
        for word in words.unbind(1):
            state = self._next(word, state, cell)
            states.append(state)
        hidden = self.dropout(torch.stack(states, dim=1))
        logits = functional.linear(hidden, self.words.weight, self.bias).float()
        nats = functional.cross_entropy(
            logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
        )
        return nats.view(len(tokens), -1).sum(1)

    def _next(self, word: Tensor, state: Tensor, cell: Architecture) -> Tensor:
        nodes = [_highway(state, word + self.from_state(state), cell.activations[0])]
        for edge, activation in zip(cell.edges, cell.activations[1:], strict=True):
            earlier = nodes[edge[1]]
            nodes.append(_highway(earlier, self.edges[_name(edge)](earlier), activation))
        output: Tensor = self.norm(sum(nodes[node] for node in cell.loose_ends))
        return output


def _highway(carried: Tensor, transformed: Tensor, activation: int) -> Tensor:
    new, gate = transformed.chunk(2, dim=-1)
    return torch.lerp(carried, ACTIVATIONS[activation](new), torch.sigmoid(gate))


def _name(edge: tuple[int, int]) -> str:
    return "{}<{}".format(*edge)
