"""People who speak, whom the network has never heard: what synthetic voices are worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.components._recordings import (
    RATE_HZ,
    SPHINX,
    Recording,
    filled,
    of_sphinx,
    resampled,
)
from benchmarks.components.speech_recognition import data, espeak
from pytest_aibench.datasets import Dataset, register
from pytest_aibench.errors import UserError

DIGITS_NAME = "spoken_digits_by_people"
SPEECH_NAME = "speech_by_people"


@register(DIGITS_NAME, carriers=(SPHINX,))
def load_digits(split: str) -> Dataset:
    """Load the two utterances that are digits alone, seven words, as `data.load` has them.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
        UserError: The split is ``train``.
    """
    digits = set(data.DIGITS)
    spoken = [one for one in of_sphinx() if digits.issuperset(one.text.split())]
    return _dataset(DIGITS_NAME, split, spoken)


@register(SPEECH_NAME, carriers=(SPHINX,))
def load_speech(split: str) -> Dataset:
    """Load all twelve utterances, 101 words, most of which are no digits; likewise."""
    return _dataset(SPEECH_NAME, split, of_sphinx())


def _dataset(name: str, split: str, recordings: Sequence[Recording]) -> Dataset:
    if split != "test":
        raise UserError(f"{name!r} has only the split 'test': nobody learns from so few")
    sounds = [resampled(one.sound, RATE_HZ, espeak.RATE_HZ) for one in recordings]
    return Dataset(
        name=name,
        split=split,
        samples=filled(sounds),
        references=np.array([one.text for one in recordings]),
        licence=SPHINX.licence,
        source=SPHINX.source,
    )
