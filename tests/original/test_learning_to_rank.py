"""C16 at full size: Gowalla's two parts, a step and an answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.components.learning_to_rank import FULL_TASK, original
from benchmarks.components.learning_to_rank.full import popularity
from benchmarks.components.learning_to_rank.model import TeacherAndStudent
from pytest_aibench import datasets
from pytest_aibench.datasets import Dataset, base
from pytest_aibench.errors import UserError
from tests.original.files import after_a_step, answers

COUNTS = original.Counts(users=3, items=20)
FIRST = {1: range(10), 5: range(3, 12), 9: range(8, 16)}
LAST = {1: (16, 17), 5: (18,), 9: (19, 2, 0)}


def write(path: Path, visits: dict[int, range] | dict[int, tuple[int, ...]]) -> None:
    rows = [f"{user} {100 + place} 1" for user, places in visits.items() for place in places]
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture
def gowalla(tmp_path: Path) -> Path:
    write(tmp_path / "train.txt", FIRST)
    write(tmp_path / "test.txt", LAST)
    return tmp_path


def load(folder: Path, split: str) -> Dataset:
    return original.load(folder, split, counts=COUNTS)


def test_windows_of_the_first_part_and_visits_of_the_last(gowalla: Path) -> None:
    train, test = load(gowalla, "train"), load(gowalla, "test")
    assert train.samples["user"].tolist() == [0, 0, 0, 1, 1, 2]
    assert train.samples["history"][3].tolist() == [3, 4, 5, 6, 7]
    assert train.references[3].tolist() == [8, 9, 10]
    assert test.samples["history"].tolist() == [[*range(5, 10)], [*range(7, 12)], [*range(11, 16)]]
    assert test.references.tolist() == [[16, 17, -1], [18, -1, -1], [19, 2, 0]]


def test_what_users_have_seen_is_no_recommendation(
    gowalla: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(original, "COUNTS", COUNTS)
    train, test = load(gowalla, "train"), load(gowalla, "test")
    table = original.seen(train)
    assert [np.flatnonzero(row).tolist() for row in table] == [list(one) for one in FIRST.values()]
    first, *_ = popularity(train, test)
    assert first[:10].max() == 0
    assert first[10:13].tolist() == [2, 2, 1]


def test_all_users_and_places_must_be_there(gowalla: Path) -> None:
    with pytest.raises(UserError, match="has 3 users and should have 13149: "):
        original.load(gowalla, "train")
    with pytest.raises(UserError, match="has 20 places and should have 21: "):
        original.load(gowalla, "test", counts=COUNTS._replace(items=21))
    write(gowalla / "train.txt", {**FIRST, 1: range(13), 9: range(13, 16)})
    with pytest.raises(UserError, match=r"has users of fewer than 8 visits in train\.txt, or of"):
        original.load(gowalla, "train", counts=COUNTS)


def test_a_step_and_an_answer(gowalla: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(original, "COUNTS", COUNTS)
    monkeypatch.setattr(base, "_LOADERS", {})
    datasets.register(original.NAME)(lambda split: load(gowalla, split))
    nothing = torch.zeros(COUNTS, dtype=torch.bool)
    small = replace(
        FULL_TASK, build=lambda: TeacherAndStudent(nothing, teacher=6, student=4, length=5)
    )
    model = after_a_step(small, load(gowalla, "train"))
    assert model.get_buffer("seen").sum(1).tolist() == [10, 9, 8]
    outputs = answers(small, model, load(gowalla, "test"))
    assert [output.shape for output in outputs] == [(20,)] * 3
