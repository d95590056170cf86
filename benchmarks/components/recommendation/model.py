"""Neural matrix factorisation: two ways to match a user with an item, joined at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from benchmarks.components._common import InFullPrecision


class NeuMF(nn.Module):
    """Generalised matrix factorisation beside a perceptron (He et al., 2017, figure 3).

    Args:
        users: Number of users.
        items: Number of items.
        factors: Length of the vectors that are multiplied element by element.
        layers: Widths of the perceptron from its input, which is a user's vector and an item's,
            each half as long.
    """

    def __init__(self, users: int, items: int, factors: int, layers: Sequence[int]) -> None:
        super().__init__()
        self.n_items = items
        self.users = nn.ModuleList(
            [nn.Embedding(users, factors), nn.Embedding(users, layers[0] // 2)]
        )
        self.items = nn.ModuleList(
            [nn.Embedding(items, factors), nn.Embedding(items, layers[0] // 2)]
        )
        self.perceptron = nn.Sequential(
            *(part for widths in pairwise(layers) for part in (nn.Linear(*widths), nn.ReLU()))
        )
        # Products are small beside what the perceptron gives: one scale for both, as in int8, would
        # round half of them to nothing.
        self.join = InFullPrecision(factors + layers[-1], 1)
        for table in (*self.users, *self.items):
            nn.init.normal_(table.weight, std=0.01)

    def forward(self, pairs: Mapping[str, Tensor]) -> Tensor:
        """Score users, shape (n,), with items each, shape (n, k): logits (n, k)."""
        product_user, deep_user = (table(pairs["user"])[:, None] for table in self.users)
        product_item, deep_item = (table(pairs["items"]) for table in self.items)
        both = torch.cat((deep_user.expand_as(deep_item), deep_item), dim=-1)
        joined = torch.cat((product_user * product_item, self.perceptron(both)), dim=-1)
        scores: Tensor = self.join(joined).squeeze(-1)
        return scores
