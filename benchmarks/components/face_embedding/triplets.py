"""The triplet loss, with the negatives that teach most."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def semi_hard_triplet_loss(embeddings: Tensor, people: Tensor, margin: float) -> Tensor:
    """Mean over all pairs of one person of how far the margin is missed (Schroff et al., 2015).

    Each anchor and positive get the nearest negative that is farther from the anchor than the
    positive is (equation 4), or the farthest of all where none is.

    Args:
        embeddings: Shape (n, dimensions), each of length one.
        people: Whose they are, shape (n,); there must be two people, one of them twice.
        margin: How much farther a negative should be than a positive, in squared distance.
    """
    squared = (2 - 2 * embeddings @ embeddings.T).clamp(min=0)
    same = people[:, None] == people
    anchor, positive = (
        same & ~torch.eye(len(people), dtype=torch.bool, device=same.device)
    ).nonzero(as_tuple=True)
    to_positive = squared[anchor, positive]
    to_others = squared[anchor].masked_fill(same[anchor], -torch.inf)
    farther = to_others > to_positive[:, None]
    nearest_farther = to_others.masked_fill(~farther, torch.inf).amin(dim=1)
    farthest = to_others.amax(dim=1)
    to_negative = torch.where(farther.any(dim=1), nearest_farther, farthest)
    return functional.relu(to_positive - to_negative + margin).mean()
