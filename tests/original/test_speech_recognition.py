"""C6 at full size: LibriSpeech's folders, spectrograms of any length, a step and transcripts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile  # type: ignore[import-untyped]
import torch

from benchmarks.components.speech_recognition import FULL_TASK, original
from benchmarks.components.speech_recognition.full import AnyLength, most_frequent_text
from benchmarks.components.speech_recognition.letters import LETTERS, decode
from benchmarks.components.speech_recognition.linear import spectrograms
from benchmarks.components.speech_recognition.model import DeepSpeech2
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError
from tests.original.files import after_a_step, answers

COUNTS = {"train-clean-100": 3, "train-clean-360": 1, "train-other-500": 1, "test-clean": 2}
SAID = {
    "train-clean-100": [("GOOD DAY", 1.5), ("TOO SHORT", 0.9), ("TOO LONG", 15.1)],
    "train-clean-360": [("IT'S FINE", 1.0)],
    "train-other-500": [("IT'S FINE", 2.0)],
    "test-clean": [("A GOOD DAY", 1.2), ("FINE", 2.1)],
}
NAME = "103-1240-000{}"


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for part, utterances in SAID.items():
        place = tmp_path / part / "103" / "1240"
        place.mkdir(parents=True)
        lines = []
        for number, (text, seconds) in enumerate(utterances):
            sound = random.integers(-2000, 2000, int(16_000 * seconds)).astype(np.int16)
            soundfile.write(place / f"{NAME.format(number)}.flac", sound, 16_000)
            lines.append(f"{NAME.format(number)} {text}\n")
        (place / "103-1240.trans.txt").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def load(folder: Path, split: str) -> Dataset:
    return original.load(folder, split, counts=COUNTS)


def test_utterances_of_1_to_15_s_are_learnt_from(librispeech: Path) -> None:
    train = load(librispeech, "train")
    assert [decode(train.references[row]) for row in range(len(train))] == [
        "good day",
        "it's fine",
        "it's fine",
    ]
    assert {train.references[row].shape for row in range(3)} == {(9,)}
    path = librispeech / "train-clean-100" / "103" / "1240" / f"{NAME.format(0)}.flac"
    sound, _ = soundfile.read(path, dtype="int16")
    assert train.samples[0].shape == (240_000,)
    assert train.samples[0].dtype == np.int16
    assert np.array_equal(train.samples[0][:24_000], sound)
    assert not train.samples[0][24_000:].any()


def test_all_utterances_of_the_test_are_listened_to(librispeech: Path) -> None:
    train, test = load(librispeech, "train"), load(librispeech, "test")
    assert test.references.tolist() == ["a good day", "fine"]
    assert test.samples[1].shape == (560_000,)
    assert most_frequent_text(train, test) == ["it's fine"] * 2


def test_all_utterances_must_be_there(librispeech: Path) -> None:
    with pytest.raises(UserError, match="test-clean has 2 utterances and should have 2620: "):
        original.load(librispeech, "test")
    path = next((librispeech / "test-clean").rglob("*.flac"))
    path.unlink()
    with pytest.raises(UserError) as error:
        load(librispeech, "test")
    assert str(error.value) == (
        f"{path} is missing: put it there as docs/original-data.md describes"
    )


def _no_recording(folder: Path) -> None:
    next((folder / "train-clean-360").rglob("*.flac")).write_bytes(b"RIFF" + bytes(40))


def _no_letters(folder: Path) -> None:
    path = next((folder / "train-clean-360").rglob("*.trans.txt"))
    path.write_text(f"{NAME.format(0)} ROOM 101\n")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_recording, r"0\.flac is no FLAC file: put it there again$"),
        (_no_letters, r"trans\.txt has a line '103-1240-0000 ROOM 101': put it there again$"),
    ],
)
def test_files_that_are_something_else(
    librispeech: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(librispeech)
    with pytest.raises(UserError, match=message):
        load(librispeech, "train")


def test_a_recording_that_is_broken(librispeech: Path) -> None:
    path = librispeech / "test-clean" / "103" / "1240" / f"{NAME.format(0)}.flac"
    path.write_bytes(b"fLaC" + bytes(40))
    with pytest.raises(UserError, match=r"\.flac cannot be read \(.*\): put it there again$"):
        load(librispeech, "test").samples[0]


def test_recordings_need_soundfile(librispeech: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UserError) as error:
        load(librispeech, "test").samples[0]
    assert str(error.value) == "FLAC files need soundfile: pip install soundfile"


def test_a_spectrogram_shows_a_tone_and_is_the_same_in_any_batch() -> None:
    speech = torch.zeros(2, 16_000, dtype=torch.int16)
    tone = 8000 * torch.sin(2 * torch.pi * 2000 * torch.arange(8000) / 16_000)
    speech[0, :8000] = tone.to(torch.int16)
    speech[1] = torch.randint(-500, 500, (16_000,))
    images, frames = spectrograms(speech)
    assert images.shape == (2, 1, 161, 100)
    assert frames.tolist() == [50, 100]
    assert images[0, 0, :, :50].mean(dim=1).argmax() == 40
    assert not images[0, :, :, 50:].any()
    for image in (images[0, 0, :, :50], images[1]):
        torch.testing.assert_close(image.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
        torch.testing.assert_close(image.std(), torch.tensor(1.0))
    torch.testing.assert_close(spectrograms(speech[:1]).images, images[:1, :, :, :50])


def small() -> AnyLength:
    torch.manual_seed(0)
    return AnyLength(DeepSpeech2(layers=2, hidden=6, channels=2))


def test_utterances_of_one_length_are_heard_as_in_the_small_task() -> None:
    model = small().eval()
    inputs = spectrograms(torch.randint(-500, 500, (2, 8000), dtype=torch.int16))
    torch.testing.assert_close(model(inputs), model.network(inputs.images))


def test_what_is_behind_an_utterance_is_not_heard() -> None:
    model = small().eval()
    speech = torch.randint(-500, 500, (2, 8000), dtype=torch.int16)
    speech[0, 5000:] = 0
    together, alone = (model(spectrograms(some)) for some in (speech, speech[:1]))
    assert alone.shape == (1, 16, 29)
    torch.testing.assert_close(together[:1, :16], alone)
    assert not together[0, 16:].any()


def test_a_step_and_transcripts(librispeech: Path) -> None:
    task = replace(FULL_TASK, build=small)
    test = load(librispeech, "test")
    model = after_a_step(task, load(librispeech, "train"))
    torch.nn.init.normal_(model.get_parameter("network.symbols.weight"), std=3)
    heard = answers(task, model, test)
    assert len(heard) == 2
    assert all(set(text) <= set(LETTERS[1:]) for text in heard)
    assert any(heard)
