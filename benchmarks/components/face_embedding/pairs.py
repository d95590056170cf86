"""Faces in pairs, as LFW asks for them: is it one person twice?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pytest_aibench.devices import Device
from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import MeanMetric, Scores, register
from pytest_aibench.training import TensorPredictor

NAME = "pair_accuracy"
FOLDS = 10


class PairDistances(nn.Module):
    """Maps pairs of portraits (n, 2, c, h, w) to the distances of their embeddings (n,)."""

    def __init__(self, embed: nn.Module) -> None:
        super().__init__()
        self.embed = embed

    def forward(self, pairs: Tensor) -> Tensor:
        """Embed both, in one batch."""
        embeddings = self.embed(pairs.flatten(0, 1)).unflatten(0, (-1, 2))
        distances: Tensor = torch.linalg.vector_norm(embeddings[:, 0] - embeddings[:, 1], dim=-1)
        return distances


def pair_predictor(model: nn.Module, device: Device, precision: str) -> TensorPredictor:
    """Answers a pair of portraits with the distance of their embeddings."""
    return TensorPredictor(PairDistances(model), device, precision)


def pair_accuracy(outputs: Sequence[Any], references: npt.NDArray[Any]) -> Scores:
    """Whether each pair is told right, at the threshold that is best for the other folds.

    LFW's protocol (Huang et al., 2007): pairs in the order of the list make ten folds, one after
    the other; two portraits are one person's if their distance is at most the threshold.

    Args:
        outputs: Distances.
        references: 1 where it is one person, else 0.
    """
    distances = np.array(outputs, np.float64)
    if distances.ndim != 1:
        raise UserError("the outputs are no numbers: return the distance of each pair's embeddings")
    if len(distances) < FOLDS:
        raise UserError(f"{len(distances)} pairs make no {FOLDS} folds: give more")
    same, answered = references.astype(np.bool_), ~np.isnan(distances)
    fold = np.arange(len(distances)) * FOLDS // len(distances)
    others = [answered & (fold != one) for one in range(FOLDS)]
    thresholds = [_best(distances[pairs], same[pairs]) for pairs in others]
    scores: Scores = ((distances <= np.take(thresholds, fold)) == same).astype(np.float64)
    scores[~answered] = np.nan
    return scores


def _best(distances: npt.NDArray[np.float64], same: npt.NDArray[np.bool_]) -> float:
    """The distance at which most pairs are told right."""
    order = np.argsort(distances)
    right = np.cumsum(np.where(same[order], 1, -1))
    return float(distances[order][right.argmax()])


register(MeanMetric(name=NAME, measure=pair_accuracy))
