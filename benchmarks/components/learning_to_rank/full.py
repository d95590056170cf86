"""Caser for Gowalla at the width of the teacher, as ranking distillation and AIBench train it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from benchmarks.components._full import SCENARIOS, THROUGHPUT, FullModel
from benchmarks.components.learning_to_rank import original
from benchmarks.components.learning_to_rank.data import HISTORY as LENGTH
from benchmarks.components.learning_to_rank.learner import DistillationLearner, Recipe
from benchmarks.components.learning_to_rank.model import Caser, TeacherAndStudent
from benchmarks.components.learning_to_rank.task import TASK, popular_unseen
from pytest_aibench.bounds import at_most
from pytest_aibench.datasets import Dataset, get
from pytest_aibench.training import Baseline

USERS_GOWALLA, ITEMS_GOWALLA = original.COUNTS
TEACHERS_WIDTH = 100
STUDENTS_WIDTH = 50

teacher = partial(Caser, USERS_GOWALLA, ITEMS_GOWALLA, width=TEACHERS_WIDTH, length=LENGTH)
student = partial(Caser, USERS_GOWALLA, ITEMS_GOWALLA, width=STUDENTS_WIDTH, length=LENGTH)

FULL = FullModel(
    build=teacher,
    published_parameters=5_580_000,
    within=0.001,
    source="Tang and Wang, Ranking Distillation, KDD 2018, with Caser of the same authors, WSDM "
    "2018; AIBench publishes 0.08 to 0.09 million operations, which are multiply-accumulates "
    "before any item is scored; the student has 2.79 million parameters",
    inputs=lambda: (
        torch.empty(1, dtype=torch.int64, device="meta"),
        torch.empty(1, LENGTH, dtype=torch.int64, device="meta"),
    ),
    published_macs=85_000,
)


def build() -> TeacherAndStudent:
    """Both networks; what users have seen is not known before they learn."""
    nothing = torch.zeros(USERS_GOWALLA, ITEMS_GOWALLA, dtype=torch.bool)
    return TeacherAndStudent(nothing, teacher=TEACHERS_WIDTH, student=STUDENTS_WIDTH, length=LENGTH)


class GowallaLearner(DistillationLearner):
    """The learner of a model that is told first what users have seen in the train split."""

    RECIPE = Recipe(teachers_share=0.5, negatives=3, learning_rate=1e-3, falls_to=1.0, flatness=1.0)

    def __init__(self, model: nn.Module, steps: int) -> None:
        seen = original.seen(get(original.NAME, "train"))
        cast("TeacherAndStudent", model).seen.copy_(torch.from_numpy(seen))
        super().__init__(model, steps, recipe=self.RECIPE)


def popularity(train: Dataset, test: Dataset) -> Sequence[Any]:
    """How many users visited each place in the train split; none for those that a user has seen."""
    return popular_unseen(original.seen(train), test)


FULL_TASK = replace(
    TASK,
    dataset=original.NAME,
    target=0.1458,
    max_epochs=100,
    batch_size=512,
    cpu_threads=None,
    build=build,
    learner=GowallaLearner,
    baseline=Baseline(name="popularity", answer=popularity),
    time_to_quality=at_most("0.47 h"),
    scenarios=SCENARIOS,
    throughput=THROUGHPUT,
    provenance={
        "component": TASK.provenance["component"],
        "paper": TASK.provenance["paper"],
        "architecture": "Caser, teacher of width 100 and student of width 50; both in one "
        "training, first the teacher, for 50 epochs each as in AIBench's code",
        "data": "Gowalla as ranking distillation's code publishes it, with its own split",
        "optimizer": "AIBench's code: Adam at 1e-3, 512 windows a step, 3 negatives",
        "distillation": "AIBench's code: the 10 places that the teacher ranks highest, weighted "
        "by place and by how much too low the student ranks them; there from epoch 10 on",
        "target": "0.1458, which AIBench publishes without saying of what; here precision at 10",
        "time": "0.47 h on a Titan RTX (AIBench), for the student alone",
        "latency": "not published: guesses",
    },
)
