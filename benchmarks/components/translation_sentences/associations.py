"""Vectors of pieces: near each other are those that stand in pairs of sentences together."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_RARE = 1
"""What stands together once may do so by chance."""


def vectors(english: Tensor, german: Tensor, vocabulary: int, width: int, special: int) -> Tensor:
    """Unit vectors, shape (vocabulary, width), whose products follow Dice's coefficients.

    They are the leading eigenvectors of the coefficients of all English pieces with all German
    ones (Dice, 1945; as measure of translation: Smadja et al., 1996).

    Args:
        english: Ids of training sentences, (n, s).
        german: Ids of their translations, (n, t).
        vocabulary: How many ids there are.
        width: Size of a vector; no more than there are ids.
        special: So many ids are no pieces; their vectors are 0, as are those of rare pieces.
    """
    there, here = (_stands(ids, vocabulary, special) for ids in (english, german))
    together = there.T @ here
    alone = there.sum(dim=0)[:, None] + here.sum(dim=0)
    dice = (2 * together / alone.clamp(min=1)).where(together > _RARE, 0)
    sizes, directions = torch.linalg.eigh(dice + dice.T)
    found = directions[:, -width:] * sizes[-width:].clamp(min=0).sqrt()
    return functional.normalize(found)


def _stands(ids: Tensor, vocabulary: int, special: int) -> Tensor:
    """Whether a piece is in a sentence, 0 or 1, shape (n, vocabulary)."""
    stands = torch.zeros(len(ids), vocabulary).scatter_(1, ids, 1)
    stands[:, :special] = 0
    return stands
