"""C13, 3D object reconstruction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from benchmarks.components.reconstruction_3d import data
from benchmarks.components.reconstruction_3d.cameras import PIXELS, VIEWS, photographs
from benchmarks.components.reconstruction_3d.model import PerspectiveTransformer
from benchmarks.components.reconstruction_3d.pictures import pictures
from benchmarks.components.reconstruction_3d.shapes import KINDS, SIDE, Solid, box, cylinder, solids
from benchmarks.components.reconstruction_3d.task import (
    TASK,
    choose_photograph,
    loss,
    mean_shape,
)
from pytest_aibench.datasets import Dataset
from pytest_aibench.devices import resolve
from pytest_aibench.quality.metrics import metric
from tests.components.batches import check_batches

CPU = resolve("cpu")[0]
EVERYWHERE = (-0.5, 0.5)


@pytest.fixture(autouse=True)
def few_solids(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(data, "_COUNTS", {"train": 4, "test": 2})


def test_box_and_cylinder_have_their_volumes() -> None:
    assert box(EVERYWHERE, (-0.5, 0), (-0.25, 0.25)).mean() == 0.25
    assert cylinder((0, 0.5), 0.4).mean() == pytest.approx(np.pi * 0.4**2 / 2, rel=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_furniture_is_whole_and_stands_on_the_floor(
    kind: Callable[[np.random.Generator], Solid],
) -> None:
    from scipy.ndimage import label

    generator = np.random.Generator(np.random.PCG64(0))
    made = [kind(generator) for _ in range(50)]
    assert len({solid.tobytes() for solid in made}) > 40
    for solid in made:
        assert solid[1].any()
        assert not solid[0].any()
        assert label(solid)[1] == 1


def test_splits_are_other_solids() -> None:
    train, test = data.load("train"), data.load("test")
    assert train.samples.shape == (20, VIEWS, 1, PIXELS, PIXELS)
    assert train.references.shape == (20, VIEWS, PIXELS, PIXELS)
    assert test.samples.shape == (10, 1, PIXELS, PIXELS)
    assert test.references.shape == (10, SIDE, SIDE, SIDE)
    assert set(np.unique(train.references)) == {0, 1}
    assert 0 < test.samples.max() <= 1
    assert not (data.voxels("test")[0] == data.voxels("train")).all(axis=(1, 2, 3)).any()
    assert data.load("test").fingerprint == test.fingerprint


def test_photographs_show_the_side_of_the_camera() -> None:
    """A block at the front and the right: the first camera, in front, sees it at its left."""
    solid = box(EVERYWHERE, (0.2, 0.5), (0.2, 0.5))[np.newaxis]
    _, silhouettes = photographs(solid)
    columns = silhouettes[0].any(axis=1)
    middles = np.array([np.flatnonzero(seen).mean() for seen in columns]) - (PIXELS - 1) / 2
    assert middles[0] < -3
    assert middles[4] > 3
    assert abs(middles[1]) < 1
    assert columns[0].sum() > columns[4].sum(), "what is nearer looks larger"


def test_lit_from_the_camera_a_wall_is_brighter_than_a_top() -> None:
    photos, _ = photographs(box((-0.3, 0.3), (-0.3, 0.3), (-0.3, 0.3))[np.newaxis])
    front = photos[0, 0]
    wall, top = front[PIXELS // 2 + 3, PIXELS // 2], front[PIXELS // 2 - 6, PIXELS // 2]
    assert wall == pytest.approx(255 * (0.2 + 0.8 * np.cos(np.pi / 6)), abs=1)
    assert top == pytest.approx(255 * (0.2 + 0.8 * np.sin(np.pi / 6)), abs=1)


def test_true_solids_cast_their_silhouettes() -> None:
    made = solids(seed=3, count=2)
    _, silhouettes = photographs(made)
    network = PerspectiveTransformer()
    views = torch.tensor([0, 3, 6])
    seen = network.silhouettes(torch.tensor(made, dtype=torch.float32), views).numpy() > 0.5
    truth = silhouettes[:, views] > 0
    assert seen.shape == truth.shape
    assert ((seen & truth).sum() / (seen | truth).sum()) > 0.9


class Knowing(PerspectiveTransformer):
    """Answers every photograph with the true solids of the training."""

    def forward(self, photographs: torch.Tensor) -> torch.Tensor:
        """The true solids."""
        return torch.tensor(data.voxels("train"), dtype=torch.float32)


def test_loss_compares_the_silhouettes_of_the_same_cameras() -> None:
    train = data.load("train")
    photos, silhouettes = torch.tensor(train.samples[:, 0]), torch.tensor(train.references)
    network = Knowing()
    torch.manual_seed(0)
    right = [loss(network, photos, silhouettes).item() for _ in range(8)]
    turned = [loss(network, photos, silhouettes.roll(1, dims=1)).item() for _ in range(8)]
    assert max(right) < 0.5 * min(turned)


def test_network_makes_solids_that_the_silhouettes_teach() -> None:
    torch.manual_seed(0)
    network = PerspectiveTransformer()
    made = network(torch.rand(2, 1, PIXELS, PIXELS))
    assert made.shape == (2, SIDE, SIDE, SIDE)
    assert 0 <= made.min() <= made.max() <= 1
    torch.autograd.backward(network.silhouettes(made, torch.arange(2)).sum())
    assert all(
        weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters()
    )


def test_one_photograph_of_each_solid_is_chosen() -> None:
    torch.manual_seed(0)
    photos = torch.arange(5 * VIEWS).reshape(5, VIEWS, 1, 1, 1)
    chosen = choose_photograph(photos)
    assert chosen.shape == (5, 1, 1, 1)
    assert (chosen.flatten() // VIEWS == torch.arange(5)).all()
    assert (choose_photograph(photos) != chosen).any()


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    train = data.load("train")
    learner = TASK.learner(TASK.build(), 20)
    photos, silhouettes = torch.tensor(train.samples[:4]), torch.tensor(train.references[:4])
    losses = [learner.step(photos, silhouettes).item() for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]


def test_answers_do_not_depend_on_the_batch() -> None:
    check_batches(TASK, data.load("test").samples[:5])


def test_baseline_is_one_shape_that_fits_the_training_solids() -> None:
    test = data.load("test")
    answers = mean_shape(data.load("train"), test)
    quality = metric(TASK.metric)
    assert len(answers) == len(test)
    assert all((answer == answers[0]).all() for answer in answers)
    assert 0.1 < quality.scores(answers, test.references).mean() < 0.5
    assert quality.scores(list(test.references), test.references).mean() == 1
    assert quality.better == "higher"


def test_sheet_shows_photograph_solid_and_truth() -> None:
    one = data.load("test")
    test = Dataset("", "", one.samples.repeat(3, 0), one.references.repeat(3, 0), "", "")
    sheet = pictures(test, list(test.references))
    assert sheet.shape == (6 * 66 - 2, 12 * 66 - 2, 3)
    made, truth = sheet[:, 66:130], sheet[:, 132:196]
    np.testing.assert_array_equal(made, truth)
