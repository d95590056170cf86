"""Ranking distillation: a wide network learns first, then a narrow one from data and from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam
from torch.optim.lr_scheduler import LinearLR

from benchmarks.components.learning_to_rank.model import Caser, TeacherAndStudent
from pytest_aibench.training import Stateful

WEIGHT_DECAY = 1e-6

TAUGHT = 10
SHARPNESS = 0.1
SAMPLED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How teacher and student learn.

    Attributes:
        teachers_share: Share of the steps that the teacher has.
        negatives: Items that each sample is told from.
        learning_rate: Of Adam, at the first step of each network.
        falls_to: Share of that at the last step.
        flatness: In how many places the weight of what the teacher ranks falls by 1/e.
    """

    teachers_share: float = 0.4
    negatives: int = 9
    learning_rate: float = 5e-3
    falls_to: float = 0.1
    flatness: float = 10.0


EMBEDDED = Recipe()


class DistillationLearner:
    """Spends the first steps on the teacher, the others on the student.

    Args:
        model: Both.
        steps: Number of steps to come.
        recipe: How they learn.
        distils: False leaves the student alone with the data, to see what the teacher is worth.
    """

    def __init__(
        self,
        model: nn.Module,
        steps: int,
        *,
        recipe: Recipe = EMBEDDED,
        distils: bool = True,
    ) -> None:
        self._both = cast(TeacherAndStudent, model)
        self._recipe = recipe
        self._distils = distils
        self._n_first = round(recipe.teachers_share * steps)
        self._teacher = _Course(self._both.teacher, self._n_first, recipe)
        self._student = _Course(self._both.student, steps - self._n_first, recipe)

    def step(self, inputs: Mapping[str, Tensor], references: Tensor) -> Tensor:
        """Learn from users and their histories, and the films that came next, shape (n, 3)."""
        course = self._teacher if self._teacher.steps < self._n_first else self._student
        wanted = course.network(inputs["user"], inputs["history"])
        loss = self._ranking_loss(course.network, wanted, inputs["user"], references)
        if self._distils and course is self._student:
            loss = loss + self._distillation_loss(wanted, inputs)
        return course.learn(loss)

    def parts(self) -> Mapping[str, Stateful]:
        """Optimisers and schedules of both."""
        return {
            "teacher": self._teacher.optimizer,
            "student": self._student.optimizer,
            "teacher's rate": self._teacher.schedule,
            "student's rate": self._student.schedule,
        }

    def _ranking_loss(self, network: Caser, wanted: Tensor, users: Tensor, came: Tensor) -> Tensor:
        """Tell the films that came next from some that were never seen (Caser, equation 10)."""
        seen = self._both.seen
        others = torch.randint(
            seen.shape[1], (len(users), self._recipe.negatives), device=seen.device
        )
        right = functional.logsigmoid(network.score(wanted, came))
        wrong = functional.logsigmoid(-network.score(wanted, others))
        return -right.mean() - (wrong * ~seen[users[:, None], others]).mean()

    def _distillation_loss(self, wanted: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """Rank high what the teacher ranks highest (distillation, equation 6)."""
        teacher, student = self._both.teacher.eval(), self._both.student
        with torch.no_grad():
            taught = self._both.recommend(teacher, inputs).topk(TAUGHT).indices
        scores = student.score(wanted, taught)
        with torch.no_grad():
            n_items = self._both.seen.shape[1]
            some = torch.randint(n_items, (len(wanted), SAMPLED), device=wanted.device)
            sampled = student.score(wanted, some)
            weights = rank_weights(scores, sampled, n_items, self._recipe.flatness)
        return -(weights * functional.logsigmoid(scores)).sum(1).mean()


def rank_weights(
    scores: Tensor, sampled: Tensor, n_items: int, flatness: float = EMBEDDED.flatness
) -> Tensor:
    """How much each of the teacher's items counts: first ones, and those the student ranks too low.

    Args:
        scores: The student's scores of the teacher's items, best first, shape (n, k).
        sampled: Its scores of items drawn at random, from which its ranks are estimated, (n, m).
        n_items: How many items there are.
        flatness: In how many places the weight falls by 1/e.

    Returns:
        Weights of shape (n, k); each row has the sum 1 (distillation, equations 8 to 10), or 0
        where the student ranks none too low.
    """
    teachers_rank = torch.arange(1, scores.shape[1] + 1, device=scores.device)
    above = (sampled[:, None, :] > scores[:, :, None]).float().mean(2)
    too_low = n_items * above - teachers_rank
    weights = torch.exp(-teachers_rank / flatness) * torch.tanh(SHARPNESS * too_low).clamp(min=0)
    return functional.normalize(weights, p=1.0, dim=1)


class _Course:
    """A network and what moves its weights: Adam, at a rate that falls evenly."""

    def __init__(self, network: Caser, steps: int, recipe: Recipe) -> None:
        self.network = network
        self.optimizer = Adam(network.parameters(), recipe.learning_rate, weight_decay=WEIGHT_DECAY)
        self.schedule = LinearLR(self.optimizer, 1.0, recipe.falls_to, total_iters=steps)

    @property
    def steps(self) -> int:
        return self.schedule.last_epoch

    def learn(self, loss: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()
