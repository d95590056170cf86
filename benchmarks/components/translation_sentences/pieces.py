"""Pieces of words, learnt by merging what often stands side by side (Sennrich et al., 2016)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from itertools import pairwise

_WORD = re.compile(r" ?(?:\{\w+\}|\d|[^\W\d_]+|.)")
_MERGES = 40
"""So many pairs are merged at a time, which takes seconds where one at a time takes minutes."""


def learn(texts: Iterable[str], size: int) -> list[str]:
    """So many pieces or a few more, in their order: characters, and what they are merged to.

    A piece begins with a blank where its word does, and no piece goes beyond a word.
    """
    counts = Counter(word for text in texts for word in _words(text))
    parts = {word: list(word) for word in counts}
    known = set().union(*parts.values())
    while len(known) < size and (often := _most_common_pairs(parts, counts)):
        known.update(first + second for first, second in often)
        parts = {word: _merged(pieces, often) for word, pieces in parts.items()}
    return sorted(known)


def split(text: str, known: Container[str]) -> list[str]:
    """The pieces of a text, of each word the longest that it begins with, then of its rest.

    A character that is not known is a piece, too.
    """
    pieces = []
    for word in _words(text):
        start = 0
        while start < len(word):
            ends = range(len(word), start, -1)
            end = next((end for end in ends if word[start:end] in known), start + 1)
            pieces.append(word[start:end])
            start = end
    return pieces


def _words(text: str) -> list[str]:
    """Words, placeholders, digits and marks, each with the blank before it."""
    return _WORD.findall(f" {text}")


def _most_common_pairs(
    parts: Mapping[str, list[str]], counts: Mapping[str, int]
) -> set[tuple[str, str]]:
    pairs: Counter[tuple[str, str]] = Counter()
    for word, count in counts.items():
        for pair in pairwise(parts[word]):
            pairs[pair] += count
    return {pair for pair, _ in pairs.most_common(_MERGES)}


def _merged(pieces: list[str], often: set[tuple[str, str]]) -> list[str]:
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) in often:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged
