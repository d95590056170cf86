"""C3 at full size: Multi30k's files, the rate, a step and an answer of a small Transformer."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.components.translation import FULL_TASK, original
from benchmarks.components.translation.data import END, PAD, UNKNOWN
from benchmarks.components.translation.full import optimizer, translation_memory, warmed_up
from benchmarks.components.translation.model import Transformer
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import metric
from tests.original.files import after_a_step, answers

COUNTS = {"train": 3, "test": 2}
LINES = {
    "train.en": ("A dog runs.", "Two men sit.", "A dog sits in snow."),
    "train.de": ("Ein Hund rennt.", "Zwei Männer sitzen.", "Ein Hund sitzt im Schnee."),
    "test_2016_flickr.en": ("Two cats sit.", "A dog runs in snow."),
    "test_2016_flickr.de": ("Zwei Katzen sitzen.", "Ein Hund rennt im Schnee."),
}


@pytest.fixture
def multi30k(tmp_path: Path) -> Path:
    for name, lines in LINES.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def load(folder: Path, split: str) -> Dataset:
    return original.load(folder, split, counts=COUNTS)


def test_tokens_are_numbered_by_frequency_in_the_training_pairs(multi30k: Path) -> None:
    train, test = load(multi30k, "train"), load(multi30k, "test")
    assert train.samples.shape == train.references.shape == (3, original.LENGTH)
    assert train.samples[0, 3] == 4 == train.references[2, 5]  # the full stop is most frequent
    assert train.samples[0, 4:].tolist() == [END] + [PAD] * (original.LENGTH - 5)
    assert test.samples["english"][0, 1] == UNKNOWN
    assert (test.samples["english"][1] == UNKNOWN).sum() == 0
    assert test.references[1, :7].tolist() == [*test.samples["german"][1, :6], END]
    assert set(test.references[1, 7:]) == {-1}


def test_all_lines_must_be_there(multi30k: Path) -> None:
    with pytest.raises(UserError, match=r"train\.en has 3 lines and should have 29000: "):
        original.load(multi30k, "test")
    (multi30k / "test_2016_flickr.de").unlink()
    with pytest.raises(UserError, match=r"test_2016_flickr\.de is missing: "):
        load(multi30k, "train")


def test_the_rate_is_highest_after_the_warm_up() -> None:
    learning = optimizer(torch.nn.Linear(1, 1))
    schedule = warmed_up(learning, 0)
    rates = []
    for _ in range(4200):
        rates.append(float(schedule.get_last_lr()[0]))
        learning.step()
        schedule.step()
    assert int(np.argmax(rates)) == 3999
    assert rates[3999] == pytest.approx((512 * 4000) ** -0.5)


def test_the_trivial_answer_is_the_translation_of_the_most_similar(multi30k: Path) -> None:
    train, test = load(multi30k, "train"), load(multi30k, "test")
    first, second = translation_memory(train, test)
    assert first.tolist() == train.references[1].tolist()
    assert second.tolist() == train.references[2].tolist()
    scores = metric("token_accuracy").scores([first, second], test.references)
    assert scores[0, 1:].tolist() == [4, 5]


def test_a_step_and_an_answer(multi30k: Path) -> None:
    train, test = load(multi30k, "train"), load(multi30k, "test")
    build = partial(Transformer, original.VOCABULARY, layers=1, width=8, inner=8, heads=2)
    small = replace(FULL_TASK, build=build)
    model = after_a_step(small, train)
    first, second = answers(small, model, test)
    assert (first.shape, second.shape) == ((5,), (7,))
    alone = answers(small, model, replace(test, samples=test.samples[1:]))
    assert alone[0].tolist() == second.tolist()
