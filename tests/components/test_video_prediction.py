"""C11, video prediction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmarks.components.video_prediction import data
from benchmarks.components.video_prediction.model import CDNA
from benchmarks.components.video_prediction.pictures import pictures
from benchmarks.components.video_prediction.pushing import (
    EFFECTOR_RADIUS,
    PIXELS,
    film,
    settled,
)
from benchmarks.components.video_prediction.recurrent import ConvLSTM
from benchmarks.components.video_prediction.task import TASK, last_frame
from benchmarks.components.video_prediction.transformation import composed, moved, normalised
from pytest_aibench.devices import resolve
from pytest_aibench.quality.metrics import metric
from pytest_aibench.training import tensors
from tests.components.batches import check_batches

CPU = resolve("cpu")[0]


@pytest.fixture(autouse=True)
def few_films(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_COUNTS", {"train": 12, "test": 8})


def test_splits_are_other_films() -> None:
    train, test = data.load("train"), data.load("test")
    assert train.samples.shape == (12,)
    assert train.samples["frames"].shape == (12, 2, PIXELS, PIXELS)
    assert train.samples["actions"].shape == (12, 7, 2)
    assert train.references.shape == (12, 6, PIXELS, PIXELS)
    assert train.references.dtype == np.float32
    assert 0 <= train.references.min() < train.references.max() <= 1
    assert not (test.references[0] == train.references).all(axis=(1, 2, 3)).any()
    assert data.load("test").fingerprint == test.fingerprint


def effector(frame: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Its middle, in pixels: it is the only white thing."""
    middle: npt.NDArray[np.float64] = np.argwhere(frame > 0.95).mean(axis=0)
    return middle


def test_actions_move_the_effector_as_far_as_the_table_goes() -> None:
    films = film(seed=1, n=40, length=10)
    middles = np.array([[effector(frame) for frame in frames] for frames in films.frames])
    np.testing.assert_allclose(np.diff(middles, axis=1), films.actions, atol=0.8)
    steps = np.linalg.norm(films.actions, axis=2)
    assert steps[:, 0].min() > 0.2
    assert steps.min() < 0.2, "some come to the border and stay"


def test_films_have_pushes() -> None:
    frames = film(seed=1, n=60, length=8).frames
    bright = (frames[:, 0] > 0.2) & (frames[:, 0] < 0.95)
    later_white = (frames > 0.95).any(axis=1)
    moved_away = bright & ~later_white & (frames[:, -1] < 0.15)
    assert moved_away.any(axis=(1, 2)).mean() > 0.5


ALONE = [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8]]
RADIUS = 0.1
REACH = RADIUS + EFFECTOR_RADIUS


@pytest.mark.parametrize(
    ("discs", "effector", "expected"),
    [
        (ALONE, [0.5, 0.5], ALONE),
        ([[0.5, 0.6], *ALONE[1:]], [0.5, 0.5], [[0.5, 0.5 + REACH], *ALONE[1:]]),
        (
            [[0.5, 0.4], [0.5, 0.5], ALONE[2]],
            [0.1, 0.1],
            [[0.5, 0.35], [0.5, 0.55], ALONE[2]],
        ),
        ([[0.5, 0.99], ALONE[0], ALONE[1]], [0.1, 0.9], [[0.5, 0.9], ALONE[0], ALONE[1]]),
    ],
    ids=["untouched", "pushed by the effector", "discs share the way", "held by the border"],
)
def test_discs_move_only_as_far_as_they_are_pushed(
    discs: list[list[float]], effector: list[float], expected: list[list[float]]
) -> None:
    rest = settled(np.array([discs]), np.full((1, 3), RADIUS), np.array([effector]))
    np.testing.assert_allclose(rest[0], expected, atol=1e-9)


def test_kernels_move_and_keep_what_there_is() -> None:
    torch.manual_seed(0)
    frames = torch.rand(3, 2, 9, 9)
    kernels = torch.zeros(3, 2, 5, 5)
    kernels[:, 0, 2, 2] = 1
    kernels[:, 1, 2, 3] = 1
    same, left = moved(frames, kernels).unbind(dim=1)
    torch.testing.assert_close(same, frames)
    torch.testing.assert_close(left[..., :-1], frames[..., 1:])
    sums = normalised(torch.randn(4, 2, 5, 5)).sum(dim=(-2, -1))
    torch.testing.assert_close(sums, torch.ones(4, 2))


def test_each_frame_is_moved_by_its_own_kernels() -> None:
    torch.manual_seed(0)
    frames, kernels = torch.rand(3, 2, 6, 6), torch.rand(3, 4, 5, 5)
    together = moved(frames, kernels)
    assert together.shape == (3, 4, 2, 6, 6)
    for one in range(3):
        alone = moved(frames[one, None], kernels[one, None])
        torch.testing.assert_close(together[one, None], alone)


def test_masks_choose_among_the_parts() -> None:
    parts = torch.stack([torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)], dim=1)
    masks = torch.tensor([[[[1.0, 0.5], [0, 0]], [[0, 0.5], [1, 1]]]])
    assert composed(parts, masks).flatten().tolist() == [0, 0.5, 1, 1]


@pytest.mark.parametrize(("forget", "kept"), [(20, 1), (-20, 0)])
def test_memory_keeps_what_its_gate_lets(forget: float, kept: float) -> None:
    memory = ConvLSTM(1, 1, 3)
    torch.nn.init.zeros_(memory.gates.weight)
    biases = torch.tensor([-20.0, forget, 20.0, 0.0])  # write, forget, read, content
    memory.load_state_dict({"gates.weight": memory.gates.weight, "gates.bias": biases})
    remembered = torch.rand(1, 1, 4, 4)
    state = torch.zeros(1, 1, 4, 4), remembered
    given, then = memory(torch.rand(1, 1, 4, 4), state)
    torch.testing.assert_close(then, kept * remembered)
    torch.testing.assert_close(given, torch.tanh(kept * remembered))


def test_memory_begins_empty_and_takes_in() -> None:
    torch.manual_seed(0)
    memory = ConvLSTM(2, 3, 3)
    something = torch.rand(1, 2, 4, 4)
    nothing = torch.zeros(1, 3, 4, 4)
    given, remembered = memory(something, None)
    torch.testing.assert_close((given, remembered), memory(something, (nothing, nothing)))
    assert given.shape == remembered.shape == (1, 3, 4, 4)
    assert remembered.abs().min() > 0


def test_network_foresees_by_what_it_knows_and_does() -> None:
    torch.manual_seed(0)
    network = CDNA(PIXELS, context=2)
    inputs = {"frames": torch.rand(2, 2, PIXELS, PIXELS), "actions": torch.rand(2, 7, 2)}
    foreseen = network(inputs)
    assert foreseen.shape == (2, 6, PIXELS, PIXELS)
    assert 0 <= foreseen.min() <= foreseen.max() <= 1
    later = inputs["actions"].clone()
    later[:, 4] += 1
    otherwise = network({**inputs, "actions": later})
    torch.testing.assert_close(otherwise[:, :3], foreseen[:, :3])
    assert not torch.allclose(otherwise[:, 3], foreseen[:, 3])


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    train = data.load("train")
    learner = TASK.learner(TASK.build(), 20)
    inputs, frames = tensors(train.samples[:4], CPU), torch.tensor(train.references[:4])
    losses = [learner.step(inputs, frames).item() for _ in range(12)]
    assert losses[-1] < 0.7 * losses[0]


def test_answers_do_not_depend_on_the_batch() -> None:
    check_batches(TASK, data.load("test").samples[:5])


def test_baseline_is_the_last_known_frame() -> None:
    test = data.load("test")
    answers = last_frame(data.load("train"), test)
    assert np.shape(answers) == test.references.shape
    assert all(
        (answer == sample["frames"][1]).all()
        for answer, sample in zip(answers, test.samples, strict=True)
    )
    quality = metric(TASK.metric)
    assert quality.scores(answers, test.references).mean() > 0.005
    assert quality.better == "lower"


def test_sheet_shows_films_above_what_was_foreseen() -> None:
    test = data.load("test")
    sheet = pictures(test, list(test.references))
    assert sheet.shape == (16 * 74 - 2, 8 * 74 - 2, 3)
    np.testing.assert_array_equal(sheet[:72], sheet[74:146])
