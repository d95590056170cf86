"""C4, image-to-text: scenes, captioner, answers and pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from benchmarks.components.image_to_text import TASK
from benchmarks.components.image_to_text.data import (
    END,
    LENGTH,
    NAME,
    PAD,
    WORDS,
    Scene,
    caption,
    load,
)
from benchmarks.components.image_to_text.model import small_captioner
from benchmarks.components.image_to_text.pictures import pictures
from benchmarks.components.image_to_text.predictor import answer
from benchmarks.components.image_to_text.sprites import COLOURS, SHAPES, SIDE, Group, drawn
from pytest_aibench.datasets import get
from pytest_aibench.devices import resolve
from pytest_aibench.quality.metrics import metric
from pytest_aibench.training import cast, cpu_threads
from tests.components.batches import together_and_alone

DISCS = Group(number=2, size="large", colour="red", shape="disc")
RING = Group(number=1, size="small", colour="blue", shape="ring")


def test_no_caption_of_the_test_split_is_in_the_training_split() -> None:
    train, test = get(NAME, "train"), get(NAME)
    seen = {tuple(tokens) for tokens in train.samples["caption"]}
    assert len(train) == 4000
    assert len(test) == 300
    assert not any(tuple(tokens) in seen for tokens in test.samples["caption"])
    assert load("test").fingerprint == test.fingerprint
    assert test.samples["image"].shape == (300, 3, SIDE, SIDE)
    assert 0 <= test.samples["image"].min() < test.samples["image"].max() <= 1
    assert set(np.unique(train.samples["caption"])) == set(range(len(WORDS)))
    assert "generated" in test.source


def test_references_count_the_tokens_with_the_end() -> None:
    test = get(NAME)
    for tokens, count in zip(test.samples["caption"], test.references, strict=True):
        assert tokens[count - 1] == END
        assert (tokens[count:] == PAD).all()
        assert count in (5, LENGTH)


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        (Scene((DISCS,), 0), "two large red discs"),
        (Scene((RING,), 1), "one small blue ring"),
        (Scene((DISCS, RING), 0), "two large red discs left of one small blue ring"),
        (Scene((RING, DISCS), 1), "one small blue ring above two large red discs"),
    ],
)
def test_captions(scene: Scene, words: str) -> None:
    assert " ".join(scene.words) == words


def test_tokens_are_read_up_to_their_end() -> None:
    tokens = [WORDS.index("two"), WORDS.index("rings"), END, WORDS.index("red")]
    assert caption(tokens) == "two rings"
    assert caption(tokens[:2]) == "two rings"


@pytest.mark.parametrize("relation", [0, 1])
def test_the_first_group_lies_left_or_above(relation: int) -> None:
    red, blue = (Group(number=3, size="small", colour=c, shape="disc") for c in ("red", "blue"))
    for seed in range(20):
        image = drawn((red, blue), relation, np.random.default_rng(seed))
        redder = image[0] - image[2]
        places = [np.argwhere(redder > 0.3), np.argwhere(redder < -0.3)]
        axis = 1 - relation
        assert places[0][:, axis].max() < places[1][:, axis].min()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_shapes_are_apart_and_as_many_as_said(shape: str, number: int) -> None:
    from scipy.ndimage import label

    group = Group(number=number, size="large", colour="white", shape=shape)
    for seed in range(10):
        image = drawn((group,), seed % 2, np.random.default_rng(seed))
        _, found = label(image.mean(axis=0) > 0.65, np.ones((3, 3)))
        assert found == number


def test_colours_are_what_they_are_called() -> None:
    for colour, tint in COLOURS.items():
        group = Group(number=1, size="large", colour=colour, shape="square")
        image = drawn((group,), 0, np.random.default_rng(0))
        nearest = np.abs(image - np.reshape(tint, (3, 1, 1))).max(axis=0)
        assert (nearest < 0.2).sum() > 40


def test_likelihood_ignores_the_padding() -> None:
    captioner = small_captioner().eval()
    seen = captioner.see(torch.rand(1, 3, SIDE, SIDE))
    tokens = torch.tensor([[2, 5, 7, END] + [PAD] * 6])
    torch.testing.assert_close(captioner.score(seen, tokens), captioner.score(seen, tokens[:, :4]))


def test_likelihood_of_a_captioner_that_knows_nothing() -> None:
    captioner = small_captioner().eval()
    for weights in captioner.next_word.parameters():
        torch.nn.init.zeros_(weights)
    seen = captioner.see(torch.rand(2, 3, SIDE, SIDE))
    nats = captioner.score(seen, torch.full((2, 7), END))
    torch.testing.assert_close(nats, torch.full((2,), 7 * math.log(len(WORDS))))


def test_each_written_word_is_the_most_probable_after_those_before() -> None:
    torch.manual_seed(0)
    captioner = small_captioner().eval()
    seen = captioner.see(torch.rand(3, 3, SIDE, SIDE))
    written = captioner.write(seen)
    best = captioner.score(seen, written)
    for place in range(LENGTH):
        other = written[:, : place + 1].clone()
        other[:, place] = (other[:, place] % (len(WORDS) - 1)) + 1
        assert (
            captioner.score(seen, other) >= captioner.score(seen, written[:, : place + 1])
        ).all()
    assert written.shape == (3, LENGTH)
    assert best.isfinite().all()


def test_words_are_scored_in_fp32_in_int8_too() -> None:
    captioner = small_captioner()
    quantised = cast(captioner, resolve("cpu")[0], "int8")
    assert type(quantised.lstm) is not type(captioner.lstm)
    scoring = quantised.get_parameter("next_word.weight")
    assert torch.equal(scoring, captioner.next_word.weight)


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    test = get(NAME)
    inputs = {name: torch.tensor(test.samples[name][:8]) for name in ("image", "caption")}
    lengths = torch.tensor(test.references[:8])
    model = TASK.build().train()
    learner = TASK.learner(model, 30)
    with cpu_threads(1):
        losses = [learner.step(inputs, lengths).item() for _ in range(12)]
    assert losses[-1] < losses[0] - 1


def test_answers_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    predictor = TASK.predictor(TASK.build(), resolve("cpu")[0], "fp32")
    together, alone = together_and_alone(predictor, get(NAME).samples[:5])
    np.testing.assert_allclose(together, alone, rtol=1e-4)
    assert [each.caption for each in together] == [each.caption for each in alone]


def test_target_beats_the_blind_language_model() -> None:
    baseline = TASK.baseline_quality().value
    assert metric(TASK.metric).better == "lower"
    assert baseline is not None
    assert TASK.target < baseline / 2


def test_picture_shows_scenes_over_captions() -> None:
    test = get(NAME)
    blank, written = (
        pictures(test, [answer(1.0, words)] * 12)
        for words in ("", "two large red discs left of one small blue ring")
    )
    assert blank.dtype == np.uint8
    assert blank.shape == written.shape
    np.testing.assert_array_equal(blank[:200, :200], written[:200, :200])
    changed = (blank[200:236, :200] != written[200:236, :200]).any(axis=(1, 2))
    assert changed[:12].any()
    assert changed[12:24].any()
    assert changed[24:].any()
