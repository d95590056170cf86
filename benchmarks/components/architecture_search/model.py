"""Efficient neural architecture search: shared weights, and what chooses among them."""

from __future__ import annotations

from torch import Tensor, nn

from benchmarks.components.architecture_search.cell import Architecture, LanguageModel, all_edges
from benchmarks.components.architecture_search.controller import Controller
from benchmarks.components.architecture_search.data import VOCABULARY


class Search(nn.Module):
    """The weights that all cells share, and the controller (Pham et al., 2018).

    Args:
        nodes: Of a cell.
        width: Units of a node.
        dropout: Share of what words and nodes say that is left out.
        vocabulary: Number of words.
        controller: Units of the controller.
    """

    def __init__(
        self,
        nodes: int = 4,
        width: int = 96,
        dropout: float = 0.3,
        vocabulary: int = VOCABULARY,
        controller: int = 64,
    ) -> None:
        super().__init__()
        self.shared = LanguageModel(vocabulary, width, all_edges(nodes), dropout)
        self.controller = Controller(nodes, controller)

    def found(self) -> Found:
        """The cell that the controller holds most probable, with the shared weights."""
        return Found(self.shared, self.controller(greedy=True).cell)


class Found(nn.Module):
    """A language model with its cell."""

    def __init__(self, model: LanguageModel, cell: Architecture) -> None:
        super().__init__()
        self.model = model
        self.cell = cell

    def forward(self, tokens: Tensor) -> Tensor:
        """Negative log-likelihood in nats, (n,), of all but the first of tokens (n, 1 + t)."""
        nats: Tensor = self.model(tokens, self.cell)
        return nats
