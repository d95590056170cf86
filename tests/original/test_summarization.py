"""C14 at full size: Gigaword's files, its words, a step and headlines of a small model."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.components.summarization import FULL_TASK, original
from benchmarks.components.summarization.data import END, PAD, UNKNOWN
from benchmarks.components.summarization.full import lead
from benchmarks.components.summarization.model import Summarizer
from pytest_aibench.datasets import Dataset, mounting
from pytest_aibench.errors import UserError
from tests.original.files import after_a_step, answers

COUNTS = {"train": 3, "test": 2}
LINES = {
    "train.article.txt": ("the cat sat on the mat .", "the <unk> sat , zürich said .", ""),
    "train.title.txt": ("cat on mat", "<unk> sat in zürich , officials say", "nothing"),
    "valid.article.filter.txt": ("the dog sat on # UNK mats in a b c d e .", "a cat"),
    "valid.title.filter.txt": ("dog sat", "cat"),
}
FIRST_COPY = original.VOCABULARY


@pytest.fixture
def gigaword(tmp_path: Path) -> Path:
    folder = tmp_path / original.NAME
    folder.mkdir()
    for name, lines in LINES.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def load(folder: Path, split: str) -> Dataset:
    return original.load(folder, split, counts=COUNTS, tested=1)


def test_words_are_numbered_by_frequency(gigaword: Path) -> None:
    words = original.vocabulary(gigaword)
    assert words.known[:8] == ("<pad>", "<begin>", "<end>", "<unknown>", "sat", "the", ",", ".")
    assert words.numbers["<unk>"] == words.numbers["UNK"] == UNKNOWN
    assert words.numbers["officials"] < len(words.known) == 17


def test_pairs_are_read_when_they_are_asked_for(gigaword: Path) -> None:
    train = load(gigaword, "train")
    words = original.vocabulary(gigaword).numbers
    assert len(train) == 3
    samples, references = pickle.loads(pickle.dumps((train.samples, train.references)))
    text, headline = samples[1].tolist(), references[1].tolist()
    assert text[:6] == [words["the"], UNKNOWN, words["sat"], words[","], words["zürich"], 15]
    assert text[7:] == [PAD] * 48
    expected = [words.get(one) for one in LINES["train.title.txt"][1].split()]
    assert headline[:8] == [*expected, END]
    assert headline[8:] == [PAD] * 7
    assert samples[2].tolist() == [UNKNOWN] + [PAD] * 54


def test_words_without_a_number_are_copied(gigaword: Path) -> None:
    words = original.vocabulary(gigaword)
    text = LINES["valid.article.filter.txt"][0]
    (ids,) = words.encode([text])
    assert ids[[1, 4, 5, 6]].tolist() == [FIRST_COPY + 1, FIRST_COPY + 4, UNKNOWN, FIRST_COPY + 6]
    headline = words.encode_headline("dog sat in oslo", text).tolist()
    assert headline[:5] == [FIRST_COPY + 1, words.numbers["sat"], words.numbers["in"], UNKNOWN, END]
    assert words.decode(headline, text) == "dog sat in"
    assert words.encode(["a " * 60]).shape == (1, 55)
    assert END not in words.encode_headline("a " * 15, "")


def test_the_test_is_the_beginning_of_what_is_for_validation(gigaword: Path) -> None:
    test = load(gigaword, "test")
    assert test.samples.tolist() == ["the dog sat on # UNK mats in a b c d e ."]
    assert test.references.tolist() == ["dog sat"]
    assert lead(test, test) == ["the dog sat on # UNK mats in a b"]


def test_all_lines_must_be_there(gigaword: Path) -> None:
    with pytest.raises(UserError, match=r"article\.filter\.txt has 2 lines and should have 189651"):
        original.load(gigaword, "test")
    path = gigaword / "train.title.txt"
    path.unlink()
    with pytest.raises(UserError) as error:
        load(gigaword, "train")
    assert str(error.value) == (
        f"{path} is missing: put it there as docs/original-data.md describes"
    )


def test_a_step_and_an_answer(gigaword: Path) -> None:
    written = len(original.vocabulary(gigaword).known)

    def small() -> Summarizer:
        return Summarizer(original.VOCABULARY, written, repeatable=8, embedding=4, hidden=4)

    task = replace(FULL_TASK, build=small)
    model = after_a_step(task, load(gigaword, "train"), size=3)
    torch.nn.init.constant_(model.get_parameter("gate.bias"), -100)
    with mounting(gigaword.parent):
        (answer,) = answers(task, model, load(gigaword, "test"))
    assert set(answer.split()) <= set(LINES["valid.article.filter.txt"][0].split())
    assert 0 < len(answer.split()) <= original.HEADLINE_LENGTH
