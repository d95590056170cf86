"""The data set ``python_topics``: CPython's own documentation as text to model."""

from __future__ import annotations

import hashlib
import platform
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_aibench.datasets import Dataset, register

NAME = "python_topics"
CHUNK = 32
TEST_CHUNKS = 280
VOCABULARY = 1500
UNKNOWN, END = 0, 1

TOKEN = re.compile(r"[a-z_]+|\d|[^\w\s]")
RULE = re.compile(r"[^\w\s]{4,}")

Tokens = npt.NDArray[np.int64]


@register(NAME)
def load(split: str) -> Dataset:
    """Load the training text, or 280 chunks of held-out text, of the running Python.

    The text is what ``help`` shows of topics; it differs between minor versions of Python. Topics
    are dealt to three parts by a digest of their names. Many topics repeat parts of others, so a
    paragraph that stands in several parts is kept in one: the test's before the controller's
    before the weights'. Tokens are lower-case words, digits and signs; the 1498 most frequent of
    the training text have an id, from 2 on, others are 0, and 1 ends a paragraph.

    A chunk is 33 tokens, int64; the first of them is only read. Test samples have shape (n, 33).
    Training samples are records of two such chunks: ``text`` for the weights to learn from, and
    ``held_out`` to reward the controller with; the latter are fewer and come round again.
    References are the number of tokens to predict in a chunk: 32.
    """
    parts = _parts()
    samples: npt.NDArray[Any] = (
        parts["test"][:TEST_CHUNKS]
        if split == "test"
        else records(parts["weights"], parts["controller"])
    )
    return Dataset(
        name=NAME,
        split=split,
        samples=samples,
        references=np.full(len(samples), CHUNK),
        licence="PSF-2.0",
        source=f"CPython {platform.python_version()}, pydoc_data.topics",
    )


def records(text: Tokens, held_out: Tokens) -> npt.NDArray[np.void]:
    """A chunk of held-out text beside each chunk to learn from; they come round again."""
    chunk = (np.int64, text.shape[1])
    made = np.empty(len(text), dtype=[("text", *chunk), ("held_out", *chunk)])
    made["text"] = text
    made["held_out"] = np.resize(held_out, text.shape)
    return made


@cache
def _parts() -> dict[str, Tokens]:
    """The chunks of each part, shape (n, 33)."""
    texts = {part: [TOKEN.findall(text) for text in texts] for part, texts in _paragraphs().items()}
    frequency = Counter(chain.from_iterable(texts["weights"]))
    by_rank = sorted(frequency, key=lambda token: (-frequency[token], token))
    ids = {token: rank for rank, token in enumerate(by_rank[: VOCABULARY - 2], start=2)}
    return {
        part: chunks(
            ([*(ids.get(token, UNKNOWN) for token in text), END] for text in paragraphs), CHUNK
        )
        for part, paragraphs in texts.items()
    }


def _paragraphs() -> dict[str, list[str]]:
    """The paragraphs of each part, in lower case; none stands in two parts, or twice in one."""
    from pydoc_data.topics import topics

    taken: set[str] = set()
    parts: dict[str, list[str]] = {"test": [], "controller": [], "weights": []}
    for part, paragraphs in parts.items():
        names = sorted(name for name in topics if _part(name) == part)
        for paragraph in chain.from_iterable(topics[name].lower().split("\n\n") for name in names):
            text = " ".join(RULE.sub(" ", paragraph).split())
            if text not in taken:
                taken.add(text)
                paragraphs.append(text)
    return parts


def _part(topic: str) -> str:
    digit = hashlib.sha256(topic.encode()).digest()[0] % 8
    return {0: "test", 1: "controller"}.get(digit, "weights")


def chunks(texts: Iterable[list[int]], length: int) -> Tokens:
    """Running text cut to chunks that overlap by one token; what is left over is dropped.

    Shape (n, length + 1).
    """
    tokens = np.fromiter(chain.from_iterable(texts), dtype=np.int64)
    starts = np.arange(0, len(tokens) - length, length)
    cut: Tokens = tokens[starts[:, np.newaxis] + np.arange(length + 1)]
    return cut
