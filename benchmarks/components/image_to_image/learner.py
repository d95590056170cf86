"""How generators and discriminators learn from each other, and from the way back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.components.image_to_image.pool import Pool
from pytest_aibench.training import Stateful

GENERATOR_LEARNING_RATE = 2e-3
DISCRIMINATOR_LEARNING_RATE = 1e-3
BETAS = (0.5, 0.999)
CYCLE = 10.0
IDENTITY = 0.5 * CYCLE


class CycleLearner:
    """One step of both generators for each batch, then one of both discriminators.

    After Zhu et al. (2017).

    Args:
        model: Both generators and both discriminators.
        steps: Number of steps to come.
        of_generators: Their learning rate.
        of_judges: That of discriminators.
        remembered: How many earlier pictures of each kind discriminators may see again.
    """

    def __init__(
        self,
        model: nn.Module,
        steps: int,
        *,
        of_generators: float = GENERATOR_LEARNING_RATE,
        of_judges: float = DISCRIMINATOR_LEARNING_RATE,
        remembered: int = 0,
    ) -> None:
        self._to_labels, self._to_photos, self._judge_of_labels, self._judge_of_photos = (
            model.get_submodule(name)
            for name in ("to_labels", "to_photos", "judge_of_labels", "judge_of_photos")
        )
        self._generators = nn.ModuleList([self._to_labels, self._to_photos])
        self._judges = nn.ModuleList([self._judge_of_labels, self._judge_of_photos])
        self._of_generators = Adam(self._generators.parameters(), of_generators, BETAS)
        self._of_judges = Adam(self._judges.parameters(), of_judges, BETAS)
        self._schedules = [
            LambdaLR(optimizer, partial(constant_then_falling, steps=steps))
            for optimizer in (self._of_generators, self._of_judges)
        ]
        self._drawn_labels, self._drawn_photos = Pool(remembered), Pool(remembered)

    def step(self, photos: Tensor, labels: Tensor) -> Tensor:
        """Learn from photographs, and from pictures of other streets' labels.

        Returns how much generators lose: on the way there and back, and where there was nothing to
        translate. What discriminators see is left out, because they change as well.
        """
        self._judges.requires_grad_(False)
        to_labels = translate(
            photos, labels, self._to_labels, self._to_photos, self._judge_of_labels
        )
        to_photos = translate(
            labels, photos, self._to_photos, self._to_labels, self._judge_of_photos
        )
        lost = to_labels.lost + to_photos.lost
        _step(self._of_generators, lost + to_labels.unlike + to_photos.unlike)
        self._judges.requires_grad_(True)
        drawn_labels = self._drawn_labels.exchanged(to_labels.drawn.detach())
        drawn_photos = self._drawn_photos.exchanged(to_photos.drawn.detach())
        judged = judgement_loss(self._judge_of_labels, labels, drawn_labels)
        judged = judged + judgement_loss(self._judge_of_photos, photos, drawn_photos)
        _step(self._of_judges, judged)
        for schedule in self._schedules:
            schedule.step()
        return lost.detach()

    def parts(self) -> Mapping[str, Stateful]:
        """Optimisers, schedules, and earlier pictures."""
        of_generators, of_judges = self._schedules
        return {
            "generators": self._of_generators,
            "judges": self._of_judges,
            "generators' rate": of_generators,
            "judges' rate": of_judges,
            "drawn labels": self._drawn_labels,
            "drawn photos": self._drawn_photos,
        }


class Translation(NamedTuple):
    """Translated pictures, and what is wrong with them.

    Attributes:
        drawn: The pictures.
        lost: Cycle consistency and identity loss, weighted (sections 3.2 and 5.2).
        unlike: How far they are from passing for real (equation 1, with least squares).
    """

    drawn: Tensor
    lost: Tensor
    unlike: Tensor


def translate(
    source: Tensor, target: Tensor, there: nn.Module, back: nn.Module, judge: nn.Module
) -> Translation:
    """Translate pictures of one kind; those of the other kind are to stay what they are."""
    drawn, same = there(torch.cat([source, target])).chunk(2)
    cycle = functional.l1_loss(back(drawn), source)
    identity = functional.l1_loss(same, target)
    return Translation(drawn, CYCLE * cycle + IDENTITY * identity, away_from(1, judge(drawn)))


def _step(optimizer: Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()


def judgement_loss(judge: nn.Module, real: Tensor, drawn: Tensor) -> Tensor:
    """How far a discriminator is from 1 for real and from 0 for drawn pictures, halved.

    Least squares (Zhu et al., 2017, section 4); halving slows discriminators down.
    """
    for_real, for_drawn = judge(torch.cat([real, drawn])).chunk(2)
    return (away_from(1, for_real) + away_from(0, for_drawn)) / 2


def away_from(goal: float, judgements: Tensor) -> Tensor:
    """Mean squared distance of judgements from a number."""
    return torch.square(judgements - goal).mean()


def constant_then_falling(step: int, steps: int) -> float:
    """Share of the learning rate: all for half of the steps, then falling linearly to nothing."""
    return min(1.0, 2 * (1 - step / steps))
