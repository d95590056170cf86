"""Multi30k: captions of photographs in English and German, which AIBench's code translates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.components._folders import expect, needed, original
from benchmarks.components.translation.data import END, PAD, SPECIAL, UNKNOWN, tokens
from pytest_aibench.datasets import Dataset

NAME = "multi30k"
COUNTS = {"train": 29_000, "test": 1000}
FILES = {"train": "train", "test": "test_2016_flickr"}
VOCABULARY = 37_000
LENGTH = 80
"""Tokens of a sentence at most, with its end; what is longer is cut."""

SAMPLE = np.dtype([("english", np.int64, (LENGTH,)), ("german", np.int64, (LENGTH,))])

Ids = npt.NDArray[np.int64]


@original(NAME, "Multi30k")
def load(folder: Path, split: str, *, counts: Mapping[str, int] = COUNTS) -> Dataset:
    """Load 29 000 training pairs, or the 1000 of the test of 2016.

    A token is a word, a mark or up to two digits, with the blank before it; the most frequent of
    both languages in the training pairs have a number, at most 37 000 with the special ones.
    Training samples are token ids of English, int64 of shape (n, 80), ended with `END` and filled
    with `PAD`; references those of German. Test samples are records of both, ``english`` and
    ``german``, and references the tokens of German again, filled with -1.

    Raises:
        UserError: A file is missing, or has not as many lines.
    """
    pairs = {part: _texts(folder, part, counts) for part in ("train", "test")}
    known = _numbers(chain.from_iterable(pairs["train"]))
    english, german = (_encoded(texts, known) for texts in pairs[split])
    in_test = split == "test"
    return Dataset(
        name=NAME,
        split=split,
        samples=_records(english, german) if in_test else english,
        references=np.where(german == PAD, -1, german) if in_test else german,
        licence="not stated for the captions; of the photographs Flickr's terms of use",
        source="Multi30k, task 1 (Elliott et al., 2016)",
    )


def _texts(folder: Path, part: str, counts: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """The lines in English, and in German."""
    paths = [needed(folder / f"{FILES[part]}.{language}") for language in ("en", "de")]
    english, german = (path.read_text(encoding="utf-8").splitlines() for path in paths)
    for path, lines in zip(paths, (english, german), strict=True):
        expect(len(lines), counts[part], "lines", path)
    return english, german


def _numbers(texts: chain[str]) -> dict[str, int]:
    """Numbers of the most frequent tokens."""
    frequency = Counter(token for text in texts for token in tokens(text))
    by_rank = sorted(frequency, key=lambda token: (-frequency[token], token))
    first = len(SPECIAL)
    return {token: number for number, token in enumerate(by_rank[: VOCABULARY - first], first)}


def _encoded(texts: list[str], known: Mapping[str, int]) -> Ids:
    encoded = np.full((len(texts), LENGTH), PAD, np.int64)
    for row, text in zip(encoded, texts, strict=True):
        ids = [known.get(token, UNKNOWN) for token in tokens(text)][: LENGTH - 1]
        row[: len(ids) + 1] = [*ids, END]
    return encoded


def _records(english: Ids, german: Ids) -> npt.NDArray[np.void]:
    records = np.empty(len(english), SAMPLE)
    records["english"], records["german"] = english, german
    return records
