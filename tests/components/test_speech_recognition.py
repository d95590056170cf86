"""C6: spoken digits, the small Deep Speech 2, and the texts that it gives."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import espeakng_loader  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmarks.components._recordings import Recording
from benchmarks.components.speech_recognition import TASK, data, people
from benchmarks.components.speech_recognition.espeak import RATE_HZ, Sound, Synthesiser, synthesiser
from benchmarks.components.speech_recognition.letters import LETTERS, collapse, decode, encode
from benchmarks.components.speech_recognition.model import BatchRNN, DeepSpeech2
from benchmarks.components.speech_recognition.spectrogram import bands, frames, spectrograms
from benchmarks.components.speech_recognition.task import Listener, loss, most_frequent_text, steps
from pytest_aibench.datasets import DataAbsent
from pytest_aibench.devices import resolve
from pytest_aibench.errors import UserError

CPU = resolve("cpu")[0]


@pytest.fixture(autouse=True)
def few_utterances(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(data, "UTTERANCES", {"train": 16, "test": 6, "known": 6})
    data._parts.cache_clear()
    yield
    data._parts.cache_clear()


def test_splits_are_of_other_voices_and_seeds() -> None:
    train, test, known = data.load("train"), data.load("test"), data.load_known_voices("test")
    assert train.samples.shape == (16, data.SAMPLES)
    assert test.samples.shape == known.samples.shape == (6, data.SAMPLES)
    assert {each.samples.dtype for each in (train, test, known)} == {np.dtype(np.int16)}
    assert train.references.shape == (16, data.TRANSCRIPT_LENGTH)
    assert not set(data._VARIANTS) & set(data._HELD_OUT)
    assert len({test.source, known.source, train.source}) == 3
    assert np.array_equal(data.load_known_voices("train").samples, train.samples)
    assert "GPL-3.0" in test.licence


def test_people_say_digits_and_other_words(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ("five five", "five of clubs", "two nine three four zero")
    spoken = [Recording(np.full(160, n, np.int16), text) for n, text in enumerate(texts)]
    monkeypatch.setattr(people, "of_sphinx", lambda: spoken)
    digits, speech = people.load_digits("test"), people.load_speech("test")
    assert digits.references.tolist() == [texts[0], texts[2]]
    assert speech.references.tolist() == list(texts)
    assert digits.samples.shape == (2, 221)  # of 22 050 Hz
    assert digits.licence == "BSD-2-Clause"
    assert {people.DIGITS_NAME, people.SPEECH_NAME} < set(TASK.elsewhere)
    with pytest.raises(UserError) as error:
        people.load_digits("train")
    assert str(error.value) == (
        "'spoken_digits_by_people' has only the split 'test': nobody learns from so few"
    )


def test_utterances_may_be_of_any_length() -> None:
    listener = Listener(TASK.build(), CPU, "fp32")
    sounds = list(np.random.default_rng(0).integers(-99, 99, (2, 50_000), np.int16))
    images, lengths = listener.preprocess(sounds)
    assert images.shape == (2, 1, 40, 195)
    assert lengths.tolist() == [98, 98]
    assert listener.infer((images, lengths)).shape == (2, 98)


@pytest.mark.parametrize(
    ("part", "voices"),
    [("train", data._VARIANTS), ("test", data._HELD_OUT), ("known", data._VARIANTS)],
)
def test_a_part_is_spoken_by_its_own_voices(part: str, voices: tuple[str, ...]) -> None:
    class Recorder(Synthesiser):
        def __init__(self) -> None:
            self.asked: list[str] = []

        def say(self, text: str, *, voice: str, words_per_minute: int, pitch: int) -> Sound:
            self.asked.append(voice)
            return np.zeros(len(text), np.int16)

    recorder = Recorder()
    list(data._utterances(part, recorder))
    assert {voice.split("+")[1] for voice in recorder.asked} <= set(voices)


def test_utterances_are_spoken_digits() -> None:
    test = data.load("test")
    for samples, text in zip(test.samples, test.references, strict=True):
        assert set(text.split()) <= set(data.DIGITS)
        assert 1 <= len(text.split()) <= 3
        assert 500 < samples.astype(float).std() < 10000


def test_the_synthesiser_has_all_voices() -> None:
    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    assert {*data._VARIANTS, *data._HELD_OUT} <= {path.name for path in folder.iterdir()}
    for accent in data._ACCENTS:
        sound = synthesiser().say("one", voice=f"{accent}+m1", words_per_minute=200, pitch=50)
        assert len(sound) > 0


def test_speech_has_a_step_for_each_letter_and_each_blank_between_equal_ones() -> None:
    train = data.load("train")
    for letters, count in zip(train.references, steps(torch.tensor(train.samples)), strict=True):
        equal_neighbours = ((letters[1:] == letters[:-1]) & (letters[1:] > 0)).sum()
        assert (letters > 0).sum() + equal_neighbours <= count


def test_texts_and_letters() -> None:
    assert encode(["a b", "c"], 4).tolist() == [[2, 1, 3, 0], [4, 0, 0, 0]]
    assert decode(encode(["three one"], 12)[0]) == "three one"
    assert max(map(len, data.DIGITS)) * 3 + 2 == data.TRANSCRIPT_LENGTH


@pytest.mark.parametrize(
    ("symbols", "text"),
    [("tt__hreee", "thre"), ("three_e", "three"), ("_o_nn_e _", "one "), ("____", "")],
)
def test_repeated_symbols_count_once_unless_a_blank_parts_them(symbols: str, text: str) -> None:
    assert collapse([LETTERS.index(symbol) for symbol in symbols]) == text


def test_a_voice_that_is_not_there() -> None:
    with pytest.raises(UserError, match="eSpeak NG has no voice 'no-voice'"):
        synthesiser().say("one", voice="no-voice", words_per_minute=200, pitch=50)


@pytest.mark.parametrize("missing", ["package", "library"])
def test_data_are_absent_where_the_synthesiser_is(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "package":
        monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    else:
        monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: "/no/library.so")
    with pytest.raises(DataAbsent) as error:
        Synthesiser()
    assert str(error.value).startswith("speech needs espeakng-loader (")
    assert "pip install 'pytest-aibench[suite]'" in str(error.value)


def test_bands_are_triangles_over_all_frequencies() -> None:
    weights = bands()
    assert weights.shape == (40, 257)
    assert weights.min() == 0
    assert weights.max() <= 1
    assert (weights.sum(dim=0)[2:250] > 0).all()
    assert (weights.argmax(dim=1).diff() >= 0).all()
    inner = weights.sum(dim=0)[3:230]  # each triangle falls as the next one rises
    torch.testing.assert_close(inner, torch.ones(len(inner)))


def test_spectrogram_shows_a_tone_in_its_band() -> None:
    seconds = torch.arange(data.SAMPLES) / RATE_HZ
    tone = (8000 * torch.sin(2 * torch.pi * 2000 * seconds)).to(torch.int16)
    (image,) = spectrograms(tone[None])[:, 0]
    assert image.shape == (40, 112)
    at_2000_hz = round(2000 / (RATE_HZ / 512))
    assert image.mean(dim=1).argmax() == bands()[:, at_2000_hz].argmax()
    torch.testing.assert_close(image.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(image.std(), torch.tensor(1.0))


def test_frames_end_with_the_speech_and_not_in_a_pause() -> None:
    speech = torch.zeros(4, 1024, dtype=torch.int16)
    speech[1, 0] = speech[2, 256] = speech[3, 1023] = -5
    assert frames(speech).tolist() == [0, 1, 2, 4]
    assert steps(speech).tolist() == [0, 1, 1, 2]


def test_model_gives_chances_of_symbols_every_second_frame() -> None:
    torch.manual_seed(0)
    model = DeepSpeech2(20, 5, layers=3, hidden=8, channels=4, kernels=((5, 3), (3, 3)))
    chances = model(torch.randn(2, 1, 20, 30)).exp()
    assert chances.shape == (2, 15, 5)
    torch.testing.assert_close(chances.sum(dim=-1), torch.ones(2, 15))


def test_a_recurrent_layer_sums_both_directions() -> None:
    torch.manual_seed(0)
    layer = BatchRNN(3, 4, normalised=False)
    inputs = torch.randn(2, 5, 3)
    forwards, backwards = layer.rnn(inputs)[0].split(4, dim=2)
    assert torch.equal(layer(inputs), forwards + backwards)


def test_loss_is_of_the_steps_that_are_speech() -> None:
    class Fixed(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return chances

    letters = torch.tensor([[2, 0, 0]])
    speech = torch.zeros(1, 2048, dtype=torch.int16)
    speech[0, 1000] = 9  # two of the four steps
    chances = torch.randn(1, 4, len(LETTERS)).log_softmax(dim=-1)
    first, second = chances[0, :2].exp()
    expected = -torch.log(first[2] * second[2] + first[0] * second[2] + first[2] * second[0])
    torch.testing.assert_close(loss(Fixed(), speech, letters), expected)


def test_answers_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(1)
    listener = Listener(TASK.build(), CPU, "fp32")
    samples = list(data.load("test").samples)

    def chances(batch: list[npt.NDArray[np.int16]]) -> torch.Tensor:
        answer: torch.Tensor = listener._model(listener.preprocess(batch)[0]).detach()
        return answer

    alone = torch.cat([chances([sample]) for sample in samples])
    torch.testing.assert_close(chances(samples), alone)


def test_listener_says_nothing_behind_the_speech() -> None:
    torch.manual_seed(1)
    listener = Listener(TASK.build(), CPU, "fp32")
    samples = list(data.load("test").samples)
    inputs = listener.preprocess(samples)
    symbols = listener.infer(inputs)
    assert symbols.shape == (6, 56)
    for row, count in zip(symbols, inputs[1], strict=True):
        assert not row[count:].any()
        assert row[:count].any()
    texts = listener.postprocess(symbols)
    assert texts == [collapse(row) for row in symbols.tolist()]


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    train = data.load("train")
    speech, letters = (torch.tensor(each[:4]) for each in (train.samples, train.references))
    learner = TASK.learner(TASK.build(), 10)
    losses = [learner.step(speech, letters).item() for _ in range(10)]
    assert losses[-1] < losses[0] / 2


def test_baseline_is_the_text_that_most_training_utterances_have() -> None:
    train, test = data.load("train"), data.load("test")
    answers = most_frequent_text(train, test)
    texts = [decode(letters) for letters in train.references.tolist()]
    assert len(answers) == len(test)
    assert {texts.count(answer) for answer in answers} == {max(map(texts.count, texts))}
