"""The language model for the Penn Treebank, with the cell that the paper's search found."""

from __future__ import annotations

from benchmarks.components._full import FullModel
from benchmarks.components.architecture_search.cell import Architecture, LanguageModel

CELL = Architecture(
    activations=(0, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1), inputs=(0, 1, 2, 2, 2, 5, 1, 6, 8, 8, 8)
)
WORDS = 10_000
WIDTH = 748


def found_model() -> LanguageModel:
    """12 nodes, and only the edges that the found cell has."""
    return LanguageModel(WORDS, WIDTH, CELL.edges)


FULL = FullModel(
    build=found_model,
    published_parameters=24_000_000,
    source="Pham et al., Efficient Neural Architecture Search via Parameter Sharing, 2018, table 1 "
    "and figure 6; the cell and the 748 units are those of the authors' script for this model",
    within=0.09,
    note="word vectors, two matrices of 748 x 1496 for the first node and one for each of the "
    "other 11 make 22.0 M; what else the paper's 24 M hold, it does not say",
)
