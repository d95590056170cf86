"""Recordings of people: how they are read, cut and brought to another rate."""

from __future__ import annotations

import io
import wave
from zipfile import ZipFile

import numpy as np
import pytest

from benchmarks.components import _recordings
from benchmarks.components._recordings import Sound, filled, of_moonshine, of_sphinx, resampled
from pytest_aibench.datasets import Carrier


def wave_file(sound: Sound, rate_hz: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes(sound.astype("<i2").tobytes())
    return file.getvalue()


def tone(hz: float, rate_hz: int, seconds: float = 0.5) -> Sound:
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return (10_000 * np.sin(2 * np.pi * hz * times)).astype(np.int16)


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> None:
    of_sphinx.cache_clear()
    of_moonshine.cache_clear()


def test_recordings_of_sphinx(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = ZipFile(io.BytesIO(), "a")
    for number, name in enumerate(_recordings._SPHINX_TEXTS):
        sound = np.full(3, number, np.int16)
        is_wave = name.endswith(".wav")
        archive.writestr(name, wave_file(sound, 16_000) if is_wave else sound.tobytes())
    monkeypatch.setattr(Carrier, "archive", lambda _: archive)
    recordings = of_sphinx()
    assert [recording.sound.tolist() for recording in recordings] == [[n] * 3 for n in range(12)]
    assert recordings[0].text.startswith("and mister john")
    assert recordings[11].text == "two nine three four zero"


def test_the_long_recording_is_cut_at_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    file = wave_file(np.zeros(48_000 * 25, np.int16), 48_000)
    monkeypatch.setattr(Carrier, "read", lambda *_: file)
    recordings = of_moonshine()
    assert [len(recording.sound) for recording in recordings] == [21 * 16_000, 4 * 16_000]
    assert recordings[1].text.startswith("we had everything")


@pytest.mark.parametrize(("from_hz", "to_hz"), [(48_000, 16_000), (16_000, 22_050), (8000, 8000)])
def test_a_tone_stays_the_same_at_another_rate(from_hz: int, to_hz: int) -> None:
    found = resampled(tone(440, from_hz), from_hz, to_hz)
    expected = tone(440, to_hz)
    assert found.dtype == np.int16
    assert found.shape == expected.shape
    inner = slice(100, -100)  # a filter sees the ends of a sound
    np.testing.assert_allclose(found[inner], expected[inner], atol=100)


def test_loud_sound_does_not_overflow() -> None:
    square = np.where(tone(400, 16_000) > 0, 32_767, -32_768).astype(np.int16)
    found = resampled(square, 16_000, 22_050).astype(int)
    assert (found.max(), found.min()) == (32_767, -32_768)
    assert np.abs(np.diff(found)).max() < 60_000


def test_sounds_are_filled_up_to_the_longest() -> None:
    sounds = [np.array([1, 2], np.int16), np.array([3, 4, 5], np.int16)]
    assert filled(sounds).tolist() == [[1, 2, 0], [3, 4, 5]]
