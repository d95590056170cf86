"""Caser, a convolutional recommender of sequences, and a large one that teaches a small one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

HORIZONTAL = 16
VERTICAL = 2


class Caser(nn.Module):
    """Sees the last items as an image of their vectors (Tang and Wang, 2018, section 3).

    Horizontal filters see runs of 1 to ``length`` items, vertical ones weigh all items; what they
    find and the user's vector are matched with each item.

    Args:
        users: Number of users.
        items: Number of items.
        width: Length of the vectors.
        length: How many items it sees.
    """

    def __init__(self, users: int, items: int, *, width: int, length: int) -> None:
        super().__init__()
        self.user = nn.Embedding(users, width)
        self.item = nn.Embedding(items, width)
        self.vertical = nn.Linear(length, VERTICAL)
        self.horizontal = nn.ModuleList(
            nn.Conv1d(width, HORIZONTAL, height) for height in range(1, length + 1)
        )
        self.sequence = nn.Linear(VERTICAL * width + HORIZONTAL * length, width)
        self.dropout = nn.Dropout(0.5)
        self.match = nn.Embedding(items, 2 * width)
        self.bias = nn.Embedding(items, 1)
        nn.init.normal_(self.user.weight, std=1 / width)
        nn.init.normal_(self.item.weight, std=1 / width)
        nn.init.normal_(self.match.weight, std=1 / (2 * width))
        nn.init.zeros_(self.bias.weight)

    def forward(self, users: Tensor, histories: Tensor) -> Tensor:
        """What users, shape (n,), want after items (n, length): vectors (n, 2 * width)."""
        image = self.item(histories).transpose(1, 2)
        weighed = self.vertical(image).flatten(1)
        runs = [functional.sigmoid(layer(image)).amax(2) for layer in self.horizontal]
        found = self.dropout(torch.cat((weighed, *runs), dim=1))
        return torch.cat((functional.sigmoid(self.sequence(found)), self.user(users)), dim=1)

    def score(self, wanted: Tensor, items: Tensor) -> Tensor:
        """How well items (n, k) match what is wanted (n, 2 * width): logits (n, k)."""
        logits: Tensor = (self.match(items) @ wanted[:, :, None] + self.bias(items)).squeeze(-1)
        return logits

    def score_all(self, wanted: Tensor) -> Tensor:
        """How well each item matches what is wanted (n, 2 * width): logits (n, items).

        In fp32: with the few digits of a reduced precision too many items would be level.
        """
        weight, bias = self.match.weight.float(), self.bias.weight.float().squeeze(-1)
        return functional.linear(wanted.float(), weight, bias)


class TeacherAndStudent(nn.Module):
    """A wide Caser and a narrow one; the narrow one answers (Tang and Wang, KDD 2018, figure 1).

    Args:
        seen: Which items each user has in the train split, shape (users, items); they are not
            recommended again.
        teacher: Width of the wide one.
        student: Width of the narrow one.
        length: How many items they see.
    """

    seen: Tensor

    def __init__(self, seen: Tensor, *, teacher: int, student: int, length: int) -> None:
        super().__init__()
        self.register_buffer("seen", seen)
        users, items = seen.shape
        self.teacher = Caser(users, items, width=teacher, length=length)
        self.student = Caser(users, items, width=student, length=length)

    def forward(self, asked: Mapping[str, Tensor]) -> Tensor:
        """The student's scores for the ``user`` (n,) after the ``history`` (n, length).

        Shape (n, items); items that were seen get the least score of all.
        """
        return self.recommend(self.student, asked)

    def recommend(self, network: Caser, asked: Mapping[str, Tensor]) -> Tensor:
        """The same of either network."""
        scores = network.score_all(network(asked["user"], asked["history"]))
        return scores.where(~self.seen[asked["user"]], scores.amin(1, keepdim=True))
