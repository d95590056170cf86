"""C2 at full size: exported bedrooms, turns and clipping, a step and an answer."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.components._images import resized
from benchmarks.components._photos import PHOTOS, Pixels, crops
from benchmarks.components.image_generation import FULL_TASK, original
from benchmarks.components.image_generation.clipping import LIMIT, ClippingLearner, Turns
from benchmarks.components.image_generation.full import BedroomPredictor
from benchmarks.components.image_generation.model import WassersteinGan
from benchmarks.components.image_generation.pictures import pictures
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import metric
from tests.original.files import CPU, after_a_step, answers, write_photograph
from tests.resuming import goes_on_exactly

COUNTS = {"train": 3, "test": 2}


@pytest.fixture
def bedrooms(tmp_path: Path) -> Path:
    """As the official script exports them, in folders by the key's first letters, or flat."""
    write_photograph(tmp_path / "train" / "f" / "0" / "f0.webp", 340, 256)
    write_photograph(tmp_path / "train" / "0" / "a" / "0a.webp", 256, 300)
    write_photograph(tmp_path / "train" / "0" / "b" / "0b.JPG", 256, 256)
    (tmp_path / "train" / "0" / "data.mdb").write_text("no photograph")
    for number in range(2):
        write_photograph(tmp_path / "val" / f"{number}.jpg", 300, 256, seed=number)
    return tmp_path


def load(folder: Path, split: str) -> Dataset:
    return original.load(folder, split, counts=COUNTS)


def test_photographs_are_read_at_any_depth_in_the_order_of_names(bedrooms: Path) -> None:
    train = load(bedrooms, "train")
    assert len(train) == len(train.references) == 3
    path = bedrooms / "train" / "0" / "a" / "0a.webp"
    Image.new("RGB", (256, 300), (255, 0, 51)).save(path)
    photograph = train.references[0]
    assert photograph.shape == (3, 64, 64)
    assert photograph.dtype == np.float32
    np.testing.assert_allclose(photograph[:, 9, 9], [1, 0, 0.2], atol=0.03)


def test_vectors_are_normal_and_others_in_each_split(bedrooms: Path) -> None:
    train, test = load(bedrooms, "train"), load(bedrooms, "test")
    assert test.samples.shape == (2, 100)
    assert test.references.shape == (2, 3, 64, 64)
    vectors = np.stack([*train.samples, *test.samples])
    assert vectors.dtype == np.float32
    assert len(np.unique(vectors)) == vectors.size
    assert abs(vectors.mean()) < 0.15
    assert vectors.std() == pytest.approx(1, abs=0.1)
    assert (train.samples[1] == load(bedrooms, "train").samples[1]).all()


def test_all_photographs_must_be_there(bedrooms: Path) -> None:
    with pytest.raises(UserError) as error:
        original.load(bedrooms, "train")
    assert str(error.value) == (
        f"{bedrooms / 'train'} has 3 photographs and should have 3033042: complete it as "
        "docs/original-data.md describes"
    )


def test_a_step_an_answer_and_a_picture(bedrooms: Path) -> None:
    train, test = load(bedrooms, "train"), load(bedrooms, "test")
    drawn = answers(FULL_TASK, after_a_step(FULL_TASK, train), test)
    trivial = FULL_TASK.baseline.answer(train, test)
    for images in (drawn, trivial):
        assert [image.shape for image in images] == [(3, 64, 64)] * 2
        assert min(image.min() for image in images) >= 0
        assert max(image.max() for image in images) <= 1
        assert metric(FULL_TASK.metric).scores(images, test.references).mean() > 0
    picture = pictures(_many(test), drawn * 32)
    np.testing.assert_array_equal(picture[5, 7], (drawn[0][:, 5, 7] * 255).round())


def _many(test: Dataset) -> Dataset:
    references = np.repeat(test.references, 32, axis=0)
    return Dataset("many", "test", test.samples, references, licence="", source="")


def test_the_generator_has_its_turn_more_often_later() -> None:
    turns = Turns()
    ends = [step for step in range(1, 6000) if turns.is_over()]
    lengths = np.diff([0, *ends])
    assert lengths[:25].tolist() == [100] * 25
    assert set(lengths[25:500]) == {5}
    assert lengths[500] == 100
    assert set(lengths[501:]) == {5}


def tiny_gan() -> WassersteinGan:
    return WassersteinGan(
        nn.Sequential(nn.Linear(100, 12), nn.Unflatten(1, (3, 2, 2))),
        nn.Sequential(nn.Flatten(), nn.Linear(12, 1), nn.Flatten(0)),
    )


BATCH = torch.zeros(4, 100), torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))


def test_the_critic_comes_to_tell_images_apart_with_small_weights() -> None:
    torch.manual_seed(0)
    model = tiny_gan()
    learner = ClippingLearner(model, 1000)
    for _ in range(500):
        estimate = learner.step(*BATCH)
    largest = max(abs(value) for row in _weights(model.critic) for value in row)
    assert largest == pytest.approx(LIMIT)
    assert estimate > 0.01
    assert estimate.shape == ()
    assert not estimate.requires_grad


@torch.no_grad()
def test_the_generator_waits_and_learns_to_please_the_critic() -> None:
    torch.manual_seed(0)
    model = tiny_gan()
    before = copy.deepcopy(model.generator)
    learner = ClippingLearner(model, 1000)
    with torch.enable_grad():
        for _ in range(99):
            learner.step(*BATCH)
        assert _weights(model.generator) == _weights(before)
        learner.step(*BATCH)
    latents = torch.randn(500, 100)
    pleases, pleased = (model.critic(one(latents)).mean() for one in (model.generator, before))
    assert pleases > pleased


def _weights(module: nn.Module) -> list[list[float]]:
    return [weights.flatten().tolist() for weights in module.parameters()]


def test_pixels_are_brought_to_fractions() -> None:
    drawn = torch.tensor([[-3.0, -1.0, 0.0, 1.0, 3.0]])
    model = WassersteinGan(nn.Sequential(nn.Hardtanh(-3, 3)), nn.Identity())
    images = BedroomPredictor(model, CPU, "fp32").infer(drawn)
    assert images.tolist() == [[0, 0, 0.5, 1, 1]]


def test_the_critic_sees_pixels_from_minus_one_to_one() -> None:
    model = tiny_gan()
    seen: list[Tensor] = []
    model.critic.register_forward_pre_hook(lambda critic, inputs: seen.append(inputs[0]))
    real = torch.tensor([0.0, 0.5, 1.0]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    ClippingLearner(model, 10).step(torch.zeros(1, 100), real)
    assert seen[0][0, :, 0, 0].tolist() == [-1, 0, 1]


def test_it_goes_on_after_an_interruption() -> None:
    goes_on_exactly(tiny_gan, ClippingLearner, BATCH, n_before=150, n_steps=220)


@pytest.fixture(scope="module")
def photographs() -> list[Pixels]:
    """Photographs of rooms and landscapes, halved."""
    pixels = [one.pixels() for one in PHOTOS if one.name not in ("hubble_deep_field", "retina")]
    return [resized(each, each.shape[0] // 2, each.shape[1] // 2) for each in pixels]


Images = npt.NDArray[np.float32]


def draws(photographs: list[Pixels], seed: int) -> Iterator[Images]:
    """Sets of 300 crops as large as bedrooms."""
    random = np.random.default_rng(seed)
    while True:
        cut = np.stack(crops(photographs, 300, 64, random))
        yield cut.transpose(0, 3, 1, 2).astype(np.float32) / 255


def test_the_target_is_where_the_provenance_says(photographs: list[Pixels]) -> None:
    distance = metric(FULL_TASK.metric)
    sets = draws(photographs, seed=0)
    references, others, one, another = (next(sets) for _ in range(4))
    shares = np.random.default_rng(0).random((300, 1, 1, 1), dtype=np.float32)
    squares = others.reshape(300, 3, 16, 4, 16, 4).mean((3, 5)).repeat(4, 2).repeat(4, 3)
    real, coarse, mixed = (
        distance.scores(list(images), references).mean()
        for images in (others, squares, shares * one + (1 - shares) * another)
    )
    assert 0.011 < real < 0.022 < FULL_TASK.target < 0.030 < mixed < 0.047
    assert real < coarse < real + 0.002
    assert "0.011 to 0.022" in FULL_TASK.provenance["target"]
    assert "0.030 to 0.047" in FULL_TASK.provenance["target"]
