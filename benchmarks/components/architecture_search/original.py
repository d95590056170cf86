"""The Penn Treebank as language models are compared on it: ten thousand words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.components._folders import expect, needed, original
from benchmarks.components.architecture_search.data import chunks, records
from pytest_aibench.datasets import Dataset

NAME = "ptb"
CHUNK = 35
END = "<eos>"


class Counts(NamedTuple):
    """Tokens of the three parts, and words of the first, all with the end of a line."""

    train: int
    valid: int
    test: int
    words: int


COUNTS = Counts(train=929_589, valid=73_760, test=82_430, words=10_000)


@original(NAME, "the Penn Treebank in Mikolov's preparation")
def load(folder: Path, split: str, *, counts: Counts = COUNTS) -> Dataset:
    """Load the training text beside the validation text, or the test text.

    Samples are chunks of 36 tokens, int64, the first of which is only read; for training, records
    of a chunk of ``text`` and one of ``held_out``, as in the data of the embedded task. A token is
    its word's rank by name in the training text. References are the number of tokens to predict.

    Raises:
        UserError: A part is missing or has not as many tokens, or there are not as many words.
    """
    texts = {part: _lines(folder, part) for part in ("train", "valid", "test")}
    for part, text in texts.items():
        found = sum(map(len, text))
        expect(found, getattr(counts, part), "tokens", folder / f"ptb.{part}.txt")
    words = sorted({word for line in texts["train"] for word in line})
    expect(len(words), counts.words, "words", folder / "ptb.train.txt")
    rank = {word: number for number, word in enumerate(words)}
    cut = {
        part: chunks(([rank[word] for word in line] for line in text), CHUNK)
        for part, text in texts.items()
    }
    samples: npt.NDArray[Any] = (
        cut["test"] if split == "test" else records(cut["train"], cut["valid"])
    )
    return Dataset(
        name=NAME,
        split=split,
        samples=samples,
        references=np.full(len(samples), CHUNK),
        licence="Linguistic Data Consortium, LDC99T42",
        source="Penn Treebank (Marcus et al., 1993) as prepared by Mikolov (2010)",
    )


def _lines(folder: Path, part: str) -> list[list[str]]:
    """The words of each line, with an end."""
    text = needed(folder / f"ptb.{part}.txt").read_text(encoding="utf-8")
    return [[*line.split(), END] for line in text.splitlines()]
