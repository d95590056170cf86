"""C12 at full size: patches and photographs of ImageNet, the paper's loss and bits."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.components._images import picture
from benchmarks.components.image_compression import FULL_TASK, original
from benchmarks.components.image_compression.bits import signs
from benchmarks.components.image_compression.full import BITS_PER_PIXEL, build, loss
from benchmarks.components.image_compression.model import Codec, Sent
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import metric
from tests.original.files import after_a_step, answers, batches, write_photograph

COUNTS = {"train": 4, "test": 4}
SYNSETS = ("n01440764", "n01443537")


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for synset in SYNSETS:
            write_photograph(tmp_path / split / synset / "1.png", 200, 180, seed=1)
            write_photograph(tmp_path / split / synset / "2.png", 30, 20, seed=2)
    return tmp_path


def load(folder: Path, split: str) -> Dataset:
    return original.load(folder, split, classes=2, counts=COUNTS)


def test_an_epoch_has_as_many_patches_of_each_class(imagenet: Path) -> None:
    train = load(imagenet, "train")
    assert len(train) == len(train.references) == 2 * original.PATCHES
    assert np.bincount(train.references).tolist() == [original.PATCHES] * 2
    assert train.samples[0].shape == (3, 32, 32)
    assert train.samples[0].dtype == np.float32


def test_patches_are_from_any_place_of_any_photograph_of_a_class(imagenet: Path) -> None:
    train = load(imagenet, "train")
    large = picture(imagenet / "train" / SYNSETS[0] / "1.png").transpose(2, 0, 1)
    windows = np.lib.stride_tricks.sliding_window_view(large[:, :149, :169], (149, 169), (1, 2))
    assert windows.shape[:3] == (3, 1, 1)
    random.seed(0)
    corners = [(train.samples[0][:, 0, 0] * 255).round() for _ in range(60)]
    places = [np.argwhere((large == corner[:, None, None]).all(0)) for corner in corners]
    found = np.array([place[0] for place in places if len(place)])
    assert 20 < len(found) < 45
    assert found[:, 0].max() <= 180 - 32
    assert found[:, 1].max() <= 200 - 32
    assert (np.ptp(found, axis=0) > 100).all()


def test_the_middle_of_the_first_photograph_of_each_class_is_sent(imagenet: Path) -> None:
    test = load(imagenet, "test")
    assert len(test) == 2
    pixels = picture(imagenet / "val" / SYNSETS[1] / "1.png")[2:178, 12:188].transpose(2, 0, 1)
    np.testing.assert_array_equal(test.samples[1], pixels / np.float32(255))
    np.testing.assert_array_equal(test.samples[1], test.references[1])


def test_a_small_photograph_is_enlarged(imagenet: Path) -> None:
    for synset in SYNSETS:
        write_photograph(imagenet / "val" / synset / "0.png", 30, 20)
    test = original.load(imagenet, "test", classes=2, counts={"test": 6})
    assert test.samples[0].shape == (3, 176, 176)
    assert 0.15 < test.samples[0].std() < 0.3


def test_all_of_imagenet_must_be_there(imagenet: Path) -> None:
    with pytest.raises(UserError) as error:
        original.load(imagenet, "test", classes=2)
    assert str(error.value) == (
        f"{imagenet / 'val'} has 4 photographs and should have 50000: complete it as "
        "docs/original-data.md describes"
    )


def small() -> nn.Module:
    """A codec of the same depth, for as many bits."""
    torch.manual_seed(0)
    return Codec(
        encoder=(4, 8, 8, 8),
        first=8,
        decoder=((16, 1), (16, 1), (16, 3), (16, 3)),
        bits=32,
        passes=16,
        tile=1,
        gain=0,
        noise=True,
    )


def test_a_step_and_an_answer(imagenet: Path) -> None:
    task = replace(FULL_TASK, build=small)
    train, test = load(imagenet, "train"), load(imagenet, "test")
    model = after_a_step(task, train)
    arrived = answers(task, model, test)
    assert [one.shape for one in arrived] == [(3, 176, 176)] * 2
    worth = metric(task.metric).scores(arrived, test.references)
    trivial = metric(task.metric).scores(task.baseline.answer(train, test), test.references)
    assert (worth < trivial).all()
    assert (trivial < FULL_TASK.target).all()


def test_a_step_of_the_papers_model(imagenet: Path) -> None:
    after_a_step(FULL_TASK, load(imagenet, "train"), size=1)


def test_it_sends_two_bits_a_pixel_and_the_baseline_too(imagenet: Path) -> None:
    test = load(imagenet, "test")
    codec = small().eval()
    assert isinstance(codec, Codec)
    inputs, _ = next(batches(test, 1))
    with torch.no_grad():
        assert codec.compress(inputs).numel() * 8 == BITS_PER_PIXEL * 176 * 176
    (blocks, _) = FULL_TASK.baseline.answer(test, test)
    shape = (3, 176 // 4, 4, 176 // 2, 2)
    assert (blocks.reshape(shape) == blocks.reshape(shape)[:, :, :1, :, :1]).all()
    assert (blocks[:, 0, 0] != blocks[:, 0, 2]).any()
    assert (blocks[:, 0, 0] != blocks[:, 4, 0]).any()
    assert BITS_PER_PIXEL * 4 * 2 == 16


class Losing(nn.Module):
    """Lacks more after the first pass than after the second."""

    def forward(self, images: torch.Tensor) -> Sent:
        """What is missing is below zero in one half of the image."""
        missing = torch.tensor([0.3, 0.1])[:, None, None, None] * torch.ones_like(images)[:, None]
        missing[..., ::2] *= -1
        return Sent(torch.ones(1), missing)


def test_the_loss_is_what_lacks_on_average_over_the_passes() -> None:
    images = torch.zeros(2, 3, 4, 4)
    assert float(loss(Losing(), images, images)) == pytest.approx(0.2)


def test_bits_are_left_to_chance_in_training_alone() -> None:
    torch.manual_seed(0)
    values = torch.tensor([-0.9, -0.2, 0.0, 0.6]).expand(4000, 4)
    means = signs(values, noise=True).mean(0)
    np.testing.assert_allclose(means.numpy(), values[0].numpy(), atol=0.05)
    codec, images = small(), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        first, second = codec(images).signs, codec(images).signs
        assert not torch.equal(first, second)
        codec.eval()
        assert torch.equal(codec(images).signs, codec(images).signs)


def test_the_papers_model_leaves_bits_to_chance() -> None:
    with torch.device("meta"):
        model = build()
    assert isinstance(model, Codec)
    assert model.noise
