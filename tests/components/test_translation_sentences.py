"""C3 on sentences: pieces of words, their vectors, and the network that attends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from benchmarks.components.translation.data import BEGIN, END, PAD, UNKNOWN
from benchmarks.components.translation_sentences import data, task
from benchmarks.components.translation_sentences.associations import vectors
from benchmarks.components.translation_sentences.model import (
    AttentionGRU,
    Memory,
    _attended,
)
from benchmarks.components.translation_sentences.pieces import learn, split
from benchmarks.components.translation_sentences.task import TASK
from pytest_aibench.datasets import Carrier, registered
from pytest_aibench.devices import resolve
from tests.components.batches import together_and_alone

CPU = resolve("cpu")[0]

COLOURS = {"red": "rot", "green": "grün", "blue": "blau", "all black": "ganz schwarz"}
LAMP = {
    "title": {"long": "The lamp  is\nnow on", "short": "Lamp on"},
    "same": "is it all the same",
    "untranslated": "this has no other side",
    "left": "a lamp in one house only",
}
LAMPE = {
    "title": {"long": "Die Lampe ist jetzt an", "short": "Lampe an"},
    "same": "is it all the same",
    "left": "Lampe allein",
}


def write_wheel(path: Path) -> None:
    """Two components, of which the second repeats the first and has four sentences of its own."""
    own = {
        english: (f"the lamp is {english} today", f"die Lampe ist heute {german}")
        for english, german in COLOURS.items()
    }
    components = {
        "lamp": (LAMP, LAMPE),
        "other": tuple(
            {"again": again, **{name: pair[side] for name, pair in own.items()}}
            for side, again in enumerate(("The lamp is now: ON!", "Nun ist die Lampe an"))
        ),
    }
    with ZipFile(path, "w") as wheel:
        for name, texts in components.items():
            for language, text in zip(("en", "de"), texts, strict=True):
                place = f"homeassistant/components/{name}/translations/{language}.json"
                wheel.writestr(place, json.dumps(text))
        wheel.writestr("homeassistant/components/english/translations/en.json", '{"a": "b"}')


@pytest.fixture(autouse=True)
def few_sentences(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A wheel of a test in place of the real one."""
    write_wheel(tmp_path / "wheel")
    monkeypatch.setattr(Carrier, "archive", lambda _: ZipFile(tmp_path / "wheel"))
    monkeypatch.setattr(data, "TEST_COMPONENTS", 1)
    monkeypatch.setattr(data, "PIECES", 40)
    monkeypatch.setattr(task, "WIDTH", 16)
    monkeypatch.setattr(data, "cached_arrays", lambda name, make: make())
    caches = data._arrays, data._ids, data.vocabulary, task.associated
    for function in caches:
        function.cache_clear()
    yield
    for function in caches:
        function.cache_clear()


def test_splits_share_no_component_and_no_sentence() -> None:
    train, test = data.load("train"), data.load("test")
    assert test.samples.tolist() == ["The lamp is now on"]
    assert test.references.tolist() == ["Die Lampe ist jetzt an"]
    assert [data.decode(row) for row in train.samples] == [
        f"the lamp is {colour} today" for colour in COLOURS
    ]
    assert [data.decode(row) for row in train.references] == [
        f"die Lampe ist heute {colour}" for colour in COLOURS.values()
    ]
    assert train.samples.dtype == train.references.dtype == np.int64
    assert train.samples.shape == train.references.shape == (4, data.LENGTH)
    assert (train.licence, test.licence) == ("Apache-2.0", "Apache-2.0")
    assert registered()[data.NAME] == (data.HOME_ASSISTANT,)


def test_long_sentences_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "split", lambda text, known: text.split())
    monkeypatch.setattr(data, "LENGTH", 6)
    assert data._arrays()["train_english"].tolist() == [
        f"the lamp is {colour} today" for colour in COLOURS if colour != "all black"
    ]


def test_ids_end_and_are_filled() -> None:
    (ids,) = data.encode(["the lampß"])
    ended = ids.tolist().index(END)
    assert ids[ended - 1] == UNKNOWN
    assert (ids[ended + 1 :] == PAD).all()
    assert data.decode([BEGIN, *ids.tolist(), 7]) == "the lamp"
    (cut,) = data.encode(["ß" * 50])
    assert cut[1:].tolist() == [UNKNOWN] * (data.LENGTH - 2) + [END]


def test_what_stands_together_often_is_one_piece() -> None:
    texts = ["low lower", "low {low_name}", "x9 9"]
    known = learn(texts, 100)
    assert {" low", " {low_name}", " 9"} <= set(known)
    assert known == sorted(known)
    assert split("low slow, 99ß", {" low", "low", " s"}) == [
        " low", " s", "low", ",", " ", "9", "9", "ß",
    ]  # fmt: skip


def test_pieces_make_up_the_text() -> None:
    text = "Set {name} to 21.5 °C, or „aus“."
    assert "".join(split(text, set(learn([text, "Set to"], 30)))) == f" {text}"


def test_translations_of_each_other_have_near_vectors() -> None:
    english = torch.tensor([[4, 5], [4, 6], [4, 5], [4, 6]])
    german = torch.tensor([[7, 8], [7, 9], [7, 8], [7, 9]])
    found = vectors(english, german, vocabulary=11, width=3, special=4)
    near = found @ found.T
    for one, other in ((4, 7), (5, 8), (6, 9)):
        assert near[one].topk(2).indices.sort().values.tolist() == [one, other]
    torch.testing.assert_close(near.diagonal()[4:10], torch.ones(6))
    assert (found[:4] == 0).all()
    assert (found[10] == 0).all()
    once = vectors(english[:1], german[:1], vocabulary=11, width=3, special=4)
    assert (once == 0).all()


def small() -> AttentionGRU:
    torch.manual_seed(0)
    return AttentionGRU(torch.randn(9, 6), hidden=5, dropout=0.0).eval()


def test_a_position_sees_only_what_is_before_it() -> None:
    source, target = torch.tensor([[5, 6, 2]]), torch.tensor([[1, 4, 5, 6]])
    model = small()
    scores = model(source, target)
    assert scores.shape == (4, 9)
    target[0, 3] = 8
    torch.testing.assert_close(model(source, target)[:3], scores[:3])
    assert not torch.allclose(model(source, target)[3], scores[3])


def test_filling_changes_nothing_and_is_not_scored() -> None:
    model = small()
    source, target = torch.tensor([[5, 6, 2], [7, 2, 0]]), torch.tensor([[1, 4, 5], [1, 0, 0]])
    scores = model(source, target)
    assert scores.shape == (4, 9)
    torch.testing.assert_close(scores[3:], model(source[1:, :2], torch.tensor([[1]])))


def test_attention_gives_the_mean_of_what_is_like_a_position() -> None:
    written = torch.tensor([[[1.0, 0.0]]])
    values = torch.tensor([[[2.0], [4.0], [8.0]]])
    keys = torch.tensor([[[3.0, 9.0], [3.0, 0.0], [5.0, 0.0]]])
    filled = torch.tensor([[[False, False, True]]])
    attended = _attended(written, Memory(values, keys, filled))
    torch.testing.assert_close(attended, torch.tensor([[[1.0, 0.0, 3.0]]]))


def test_what_stands_in_the_source_is_guessed_first() -> None:
    """The embedding that is attended to is nearest to itself."""
    model = AttentionGRU(torch.eye(9, 20), hidden=5, dropout=0.0).eval()
    for weight in (model.guess.weight[:, :-20], model.guess.bias):
        torch.nn.init.zeros_(weight)
    assert model(torch.tensor([[7]]), torch.tensor([[1]])).argmax() == 7


def test_translating_step_by_step_is_choosing_the_likeliest_of_all_at_once() -> None:
    model, source = small(), torch.tensor([[5, 6, 7, 2], [8, 2, 0, 0]])
    with torch.no_grad():
        model.bias[[PAD, END]] = -100
    written = torch.full((2, 1), BEGIN)
    for _ in range(6):
        scores = model(source, written).unflatten(0, written.shape)
        following = scores[:, -1].argmax(dim=-1, keepdim=True)
        written = torch.cat((written, following), dim=1)
    assert model.translate(source, BEGIN, END, 6).tolist() == written[:, 1:].tolist()


def test_translating_stops_where_all_have_ended() -> None:
    model = small()
    with torch.no_grad():
        model.bias[END] = 100
    assert model.translate(torch.tensor([[5, 2], [6, 2]]), BEGIN, END, 6).tolist() == [[END], [END]]


def test_answers_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(1)
    predictor = TASK.predictor(TASK.build(), CPU, "fp32")
    samples = np.array(["the lamp is red", "is it", "The lamp is now on again"])
    together, alone = together_and_alone(predictor, samples)
    assert together == alone


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    train = data.load("train")
    learner = TASK.learner(TASK.build(), 40)
    english, german = map(torch.from_numpy, (train.samples, train.references))
    losses = [learner.step(english, german).item() for _ in range(40)]
    assert losses[-1] < 0.8 * losses[0]


def test_baseline_is_the_translation_of_the_most_similar_sentence() -> None:
    asked = replace(data.load("test"), samples=np.array(["now the lamp is red"]))
    assert TASK.baseline.answer(data.load("train"), asked) == ["die Lampe ist heute rot"]
