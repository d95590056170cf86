"""C17 at full size: the Penn Treebank's files, a step and an answer of a small search."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks.components.architecture_search import FULL_TASK, original
from benchmarks.components.architecture_search.full import optimizer, schedule
from benchmarks.components.architecture_search.model import Search
from benchmarks.components.architecture_search.task import unigram
from pytest_aibench.errors import UserError
from tests.original.files import after_a_step, answers

LINES = {"train": 24, "valid": 12, "test": 18}
COUNTS = original.Counts(train=144, valid=72, test=108, words=6)


@pytest.fixture
def ptb(tmp_path: Path) -> Path:
    for part, count in LINES.items():
        (tmp_path / f"ptb.{part}.txt").write_text(" the <unk> in a cat \n" * count)
    return tmp_path


def test_text_is_cut_to_chunks(ptb: Path) -> None:
    train, test = (original.load(ptb, split, counts=COUNTS) for split in ("train", "test"))
    assert train.samples["text"].shape == train.samples["held_out"].shape == (4, 36)
    assert test.samples.shape == (3, 36)
    assert test.references.tolist() == [35] * 3
    words = sorted(("<eos>", "<unk>", "a", "cat", "in", "the"))
    first = [words[token] for token in test.samples[0]]
    assert first[:7] == ["the", "<unk>", "in", "a", "cat", "<eos>", "the"]
    assert test.samples[1][0] == test.samples[0][-1]


def test_all_tokens_must_be_there(ptb: Path) -> None:
    with pytest.raises(UserError, match=r"ptb\.train\.txt has 144 tokens and should have 929589: "):
        original.load(ptb, "test")
    with pytest.raises(UserError, match=r"ptb\.train\.txt has 6 words and should have 7: "):
        original.load(ptb, "test", counts=COUNTS._replace(words=7))


def test_the_rate_falls_by_the_epoch() -> None:
    weights = optimizer(torch.nn.Linear(1, 1))
    falling = schedule(weights, 300)
    for _ in range(2):
        weights.step()
        falling.step()
    assert falling.get_last_lr() == [pytest.approx(20 * 0.96)]


def test_a_step_and_an_answer(ptb: Path) -> None:
    train, test = (original.load(ptb, split, counts=COUNTS) for split in ("train", "test"))
    small = replace(FULL_TASK, build=partial(Search, nodes=3, width=8, vocabulary=6))
    outputs = answers(small, after_a_step(small, train), test)
    assert [output.shape for output in outputs] == [()] * 3
    assert len(unigram(train, test)) == 3
