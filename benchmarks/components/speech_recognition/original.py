"""LibriSpeech: people who read books aloud."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from benchmarks.components._folders import Lazy, expect, fingerprint, lazy, needed, original
from benchmarks.components.speech_recognition.letters import LETTERS, encode
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError

NAME = "librispeech"
PARTS = {
    "train": ("train-clean-100", "train-clean-360", "train-other-500"),
    "test": ("test-clean",),
}
COUNTS = {
    "train-clean-100": 28_539,
    "train-clean-360": 104_014,
    "train-other-500": 148_688,
    "test-clean": 2620,
}

RATE_HZ = 16_000
LEAST_S, MOST_S = 1, 15
"""What is shorter or longer is not learnt from."""

TESTED_S = 35
"""The test's longest utterance is a little shorter."""

Sound = npt.NDArray[np.int16]


class Utterance(NamedTuple):
    """A file, and what is said in it, in small letters."""

    path: Path
    text: str


@original(NAME, "LibriSpeech")
def load(folder: Path, split: str, *, counts: Mapping[str, int] = COUNTS) -> Dataset:
    """Load those of 281 241 training utterances that take 1 to 15 s, or 2620 clean ones.

    Samples are sound at 16 kHz, int16 of shape (240 000,), for the test (560 000,), filled with
    zeros. References are, for training, numbers of letters, int64 of shape (m,), filled with 0, and
    for the test texts. All but those texts are read when they are asked for.

    Raises:
        UserError: A file or what is said in it is missing, is nothing that it should be, or there
            are not as many.
    """
    utterances = [one for part in PARTS[split] for one in _utterances(folder / part, counts[part])]
    if split == "train":
        utterances = [one for one in utterances if LEAST_S <= _seconds(one.path) <= MOST_S]
    paths, texts = [one.path for one in utterances], [one.text for one in utterances]
    digest = fingerprint(folder, paths)
    longest = max(map(len, texts), default=0)
    seconds = MOST_S if split == "train" else TESTED_S
    return Dataset(
        name=NAME,
        split=split,
        samples=lazy(paths, partial(_sound, seconds=seconds), digest),
        references=(
            lazy(texts, partial(_letters, longest), digest) if split == "train" else np.array(texts)
        ),
        licence="CC-BY-4.0",
        source="LibriSpeech (Panayotov et al., 2015)",
    )


def texts_of(data: Dataset) -> list[str]:
    """What is said in the training split."""
    return list(cast("Lazy", data.references).items)


def _utterances(part: Path, count: int) -> list[Utterance]:
    """Those of all readers and chapters, in the order of their names."""
    transcripts = sorted(needed(part).glob("*/*/*.trans.txt"))
    utterances = [one for transcript in transcripts for one in _transcribed(transcript)]
    expect(len(utterances), count, "utterances", part)
    return utterances


def _transcribed(transcript: Path) -> list[Utterance]:
    utterances = []
    for line in transcript.read_text(encoding="utf-8").splitlines():
        name, _, text = line.lower().partition(" ")
        if not set(text) <= set(LETTERS[1:]):
            raise UserError(f"{transcript} has a line {line!r}: put it there again")
        utterances.append(Utterance(needed(transcript.with_name(f"{name}.flac")), text))
    return utterances


def _seconds(path: Path) -> float:
    """How long a recording is, from the beginning of its file (RFC 9639, section 8.2)."""
    with path.open("rb") as file:
        head = file.read(26)
    if len(head) < 26 or head[:4] != b"fLaC":
        raise UserError(f"{path} is no FLAC file: put it there again")
    samples = int.from_bytes(head[18:26], "big") & (2**36 - 1)
    return samples / RATE_HZ


def _sound(path: Path, seconds: int) -> Sound:
    """A recording, filled up or cut to so many seconds."""
    try:
        import soundfile  # type: ignore[import-untyped]
    except (ImportError, OSError):
        raise UserError("FLAC files need soundfile: pip install soundfile") from None
    try:
        sound, _ = soundfile.read(path, seconds * RATE_HZ, dtype="int16", fill_value=0)
    except soundfile.SoundFileError as error:
        raise UserError(f"{path} cannot be read ({error}): put it there again") from None
    return cast("Sound", sound)


def _letters(length: int, text: str) -> npt.NDArray[np.int64]:
    letters: npt.NDArray[np.int64] = encode([text], length)[0]
    return letters
