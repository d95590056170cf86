"""Recordings of people, with what they say: the few that lie in packages of the index."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pytest_aibench.datasets import Carrier

RATE_HZ = 16_000

SPHINX = Carrier(
    name="pocketsphinx",
    version="5.1.1",
    file="pocketsphinx-5.1.1.tar.gz",
    sha256="675778b309a22dfc9b7d37f7621976bba491d2a5f8c59696bd77fd6d07271355",
    size_mb=34.2,
    licence="BSD-2-Clause",
    source="test recordings of PocketSphinx, five of them from LibriVox, in the sources of PyPI "
    "pocketsphinx 5.1.1",
)
MOONSHINE = Carrier(
    name="moonshine-voice",
    version="0.1.5",
    file="moonshine_voice-0.1.5-py3-none-manylinux_2_34_x86_64.whl",
    sha256="1ed9e0ccf94be4845d69e7fa862dcf4c8b5801a758796966494c694f48184496",
    size_mb=19.9,
    licence="MIT",
    source="the beginning of A Tale of Two Cities (Dickens, 1859), in PyPI moonshine-voice 0.1.5",
)

_FOLDER = "pocketsphinx-5.1.1/test/data"
_CHAPTER = f"{_FOLDER}/librivox/sense_and_sensibility_01_austen_64kb"
_SPHINX_TEXTS = {
    f"{_CHAPTER}-0870.wav": "and mister john dashwood had then leisure to consider how much there "
    "might be prudently in his power to do for them",
    f"{_CHAPTER}-0880.wav": "he was not an ill disposed young man",
    f"{_CHAPTER}-0890.wav": "unless to be rather cold hearted and rather selfish is to be ill "
    "disposed",
    f"{_CHAPTER}-0920.wav": "had he married a more a amiable woman he might have been made still "
    "more respectable than he was",
    f"{_CHAPTER}-0930.wav": "he might even have been made amiable himself",
    f"{_FOLDER}/cards/001.wav": "ten of clubs",
    f"{_FOLDER}/cards/002.wav": "four queen of clubs",
    f"{_FOLDER}/cards/003.wav": "seven of clubs",
    f"{_FOLDER}/cards/004.wav": "five five",
    f"{_FOLDER}/cards/005.wav": "eight of spades four of clubs seven of hearts",
    f"{_FOLDER}/goforward.raw": "go forward ten meters",
    f"{_FOLDER}/tidigits/dhd.2934z.raw": "two nine three four zero",
}
"""As the package's own transcripts and README have them; the last as TIDIGITS names its files."""

_TWO_CITIES = "moonshine_voice/assets/two_cities.wav"
_PAUSE_S = 21.0
_TWO_CITIES_TEXTS = (
    "it was the best of times it was the worst of times it was the age of wisdom it was the age of "
    "foolishness it was the epoch of belief it was the epoch of incredulity it was the season of "
    "light it was the season of darkness it was the spring of hope it was the winter of despair",
    "we had everything before us we had nothing before us we were all going direct to heaven we "
    "were all going direct the other way in short the period was so far like the present period "
    "that some of its noisiest authorities insisted on its being received for good or for evil in "
    "the superlative degree of comparison only",
)
"""Of the book, before and after the pause."""

Sound = npt.NDArray[np.int16]


class Recording(NamedTuple):
    """Sound at 16 kHz, and its words in small letters."""

    sound: Sound
    text: str


@cache
def of_sphinx() -> tuple[Recording, ...]:
    """Twelve utterances of one to eight seconds: sentences read aloud, commands, digits.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
    """
    with SPHINX.archive() as archive:
        files = {name: archive.read(name) for name in _SPHINX_TEXTS}
    return tuple(
        Recording(_wave(file) if name.endswith(".wav") else np.frombuffer(file, "<i2"), text)
        for (name, file), text in zip(files.items(), _SPHINX_TEXTS.values(), strict=True)
    )


@cache
def of_moonshine() -> tuple[Recording, ...]:
    """Two utterances of 21 and 23 seconds, from one recording cut at a pause.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
    """
    sound = _wave(MOONSHINE.read(_TWO_CITIES))
    parts = np.split(sound, [round(_PAUSE_S * RATE_HZ)])
    return tuple(map(Recording, parts, _TWO_CITIES_TEXTS))


def resampled(sound: Sound, from_hz: int, to_hz: int) -> Sound:
    """Sound at another rate."""
    from scipy.signal import resample_poly

    divisor = np.gcd(from_hz, to_hz)
    found: npt.NDArray[np.float64] = resample_poly(
        sound.astype(np.float64), to_hz // divisor, from_hz // divisor
    )
    return np.rint(found).clip(-(2**15), 2**15 - 1).astype(np.int16)


def filled(sounds: Sequence[Sound]) -> Sound:
    """Sounds, filled up to the longest with silence: shape (n, samples)."""
    longest = max(map(len, sounds))
    return np.stack([np.pad(sound, (0, longest - len(sound))) for sound in sounds])


def _wave(file: bytes) -> Sound:
    """What is in a file of one channel of 16 bits, at 16 kHz."""
    with wave.open(io.BytesIO(file)) as reader:
        sound = np.frombuffer(reader.readframes(reader.getnframes()), "<i2")
        return resampled(sound, reader.getframerate(), RATE_HZ)
