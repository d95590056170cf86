"""Gigaword: the first sentences of news, and their headlines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice, takewhile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.components._folders import (
    expect,
    fingerprint,
    lazy,
    mounted_at,
    needed,
    original,
)
from benchmarks.components.summarization.data import END, SPECIAL, UNKNOWN, filled, numbered
from pytest_aibench.datasets import Dataset

NAME = "gigaword"
TITLE = "Gigaword's headlines"
COUNTS = {"train": 3_803_957, "test": 189_651}
TESTED = 15_000
FILES = {
    "train": ("train.article.txt", "train.title.txt"),
    "test": ("valid.article.filter.txt", "valid.title.filter.txt"),
}

VOCABULARY = 50_000
TEXT_LENGTH, HEADLINE_LENGTH = 55, 15
"""Words of a text, and of a headline with its end; what is longer is cut."""

RESERVED = SPECIAL[: UNKNOWN + 1]
REPLACED = ("<unk>", "UNK")
"""What the files have for rare words."""

Ids = npt.NDArray[np.int64]


@original(NAME, TITLE)
def load(
    folder: Path, split: str, *, counts: Mapping[str, int] = COUNTS, tested: int = TESTED
) -> Dataset:
    """Load 3 803 957 training pairs, or the first 15 000 of the 189 651 for validation.

    Training samples are ids of a text's words, int64 of shape (55,), references those of its
    headline, (15,), both filled with `PAD`, see `Words`. They are read when they are asked for.
    Test samples and references are texts.

    Raises:
        UserError: A file is missing, or has not as many lines.
    """
    article, title = (needed(folder / name) for name in FILES[split])
    starts = np.column_stack([_starts(path, counts[split]) for path in (article, title)])
    if split == "train":
        words, digest = vocabulary(folder), fingerprint(folder, (article, title))
        samples = lazy(starts, partial(_encoded, words, article), digest)
        references = lazy(starts, partial(_encoded_headline, words, article, title), digest)
    else:
        samples = np.array([" ".join(_words(line)) for line in _lines(article, tested)])
        references = np.array([" ".join(line.split()) for line in _lines(title, tested)])
    return Dataset(
        name=NAME,
        split=split,
        samples=samples,
        references=references,
        licence="not stated for the pairs; of the news the Linguistic Data Consortium's",
        source="Gigaword, prepared for headlines (Graff et al., 2003; Rush et al., 2015)",
    )


@dataclass(frozen=True, slots=True)
class Words:
    """The most frequent words.

    Attributes:
        known: The words by number, at most 50 000.
        numbers: The number of each, and of what stands for rare ones.
    """

    known: tuple[str, ...]
    numbers: Mapping[str, int]

    def encode(self, texts: Sequence[str]) -> Ids:
        """Ids of texts' words, shape (n, 55).

        A word without a number has that of its first place in the text, from 50 000 on. There is
        always a word, for something must be attended to.
        """
        rows = (self._ids(words, words) for words in map(_words, texts))
        return filled((row or [UNKNOWN] for row in rows), TEXT_LENGTH)

    def encode_headline(self, headline: str, text: str) -> Ids:
        """Ids of a headline's words and its end, (15,); those of the text can be copied."""
        ids = self._ids(headline.split(), _words(text))
        encoded: Ids = filled([[*ids, END]], HEADLINE_LENGTH)[0]
        return encoded

    def decode(self, ids: Sequence[int], text: str) -> str:
        """The headline of ids as far as its end; copied words are taken from the text."""
        copied = text.split()
        written = takewhile(lambda number: number != END, ids)
        return " ".join(
            self.known[number] if number < VOCABULARY else copied[number - VOCABULARY]
            for number in written
            if number >= len(RESERVED)
        )

    def _ids(self, words: Sequence[str], text: Sequence[str]) -> list[int]:
        return numbered(words, text, self.numbers, VOCABULARY)


def mounted_vocabulary() -> Words:
    """`vocabulary` of the mounted folder.

    Raises:
        DataAbsent: It is not there.
    """
    return vocabulary(mounted_at(NAME, TITLE))


@cache
def vocabulary(folder: Path) -> Words:
    """The most frequent words of training texts and headlines, after the reserved ones."""
    frequency: Counter[str] = Counter()
    for name in FILES["train"]:
        for line in _lines(needed(folder / name)):
            frequency.update(line.split())
    frequent = sorted(frequency.keys() - REPLACED, key=lambda word: (-frequency[word], word))
    known = (*RESERVED, *frequent[: VOCABULARY - len(RESERVED)])
    numbers = {word: number for number, word in enumerate(known)}
    return Words(known, {**numbers, **dict.fromkeys(REPLACED, UNKNOWN)})


def _starts(path: Path, count: int) -> npt.NDArray[np.int64]:
    """At which byte each line begins."""
    with path.open("rb") as file:
        lengths = np.fromiter(map(len, file), np.int64)
    expect(len(lengths), count, "lines", path)
    return np.cumsum(lengths) - lengths


def _lines(path: Path, most: int | None = None) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="\n") as file:
        yield from islice(file, most)


def _line(path: Path, start: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return file.readline().decode("utf-8")


def _words(text: str) -> list[str]:
    return text.split()[:TEXT_LENGTH]


def _encoded(words: Words, article: Path, starts: tuple[int, int]) -> Ids:
    encoded: Ids = words.encode([_line(article, starts[0])])[0]
    return encoded


def _encoded_headline(words: Words, article: Path, title: Path, starts: tuple[int, int]) -> Ids:
    return words.encode_headline(_line(title, starts[1]), _line(article, starts[0]))
