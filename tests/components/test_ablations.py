"""The harness that trains with an idea and without it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmarks.components.learning_to_rank.learner import DistillationLearner
from benchmarks.components.spatial_transformer.model import DigitClassifier
from benchmarks.harness import ablations
from pytest_aibench.training import Task


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that are nothing but what their variant should be worth."""

    def trained(task: Task, seed: int) -> SimpleNamespace:
        if task.name == "spatial_transformer":
            return SimpleNamespace(student=0.9 if task.build is DigitClassifier else 0.8)
        with_teacher = task.learner is DistillationLearner
        return SimpleNamespace(student=0.3 if with_teacher else 0.2, teacher=0.6)

    monkeypatch.setattr(ablations, "_trained", trained)
    monkeypatch.setattr(ablations, "_judged", lambda task, model: model.student)


def test_each_seed_and_the_mean_have_a_row() -> None:
    rows = {row.measure: row for row in ablations.measure([0, 1])}
    assert list(rows) == [
        f"{what}, {name}"
        for what in (
            "top1 with transformer, without",
            "precision_at_10 of student with teacher, without",
            "precision_at_10 of teacher, student with it",
        )
        for name in ("seed 0", "seed 1", "mean")
    ]
    student = rows["precision_at_10 of student with teacher, without, mean"]
    assert (student.ours, student.other, student.ratio) == pytest.approx((0.3, 0.2, 1.5))
    transformer = rows["top1 with transformer, without, mean"]
    assert (transformer.ours, transformer.other) == pytest.approx((0.9, 0.8))
    teacher = rows["precision_at_10 of teacher, student with it, seed 1"]
    assert (teacher.ours, teacher.other) == (0.6, 0.3)


def test_an_idea_that_is_worth_nothing_misses_the_goal_in_the_mean() -> None:
    *seeds, mean = ablations._rows("x", [0, 1], [1.0, 2.0], [1.0, 3.0])
    assert [row.met for row in seeds] == [True, True]
    assert not mean.met
    assert mean.goal == "above 1 in the mean"
