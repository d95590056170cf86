"""C5 at full size: Cityscapes' folders, its classes and crops, a step of a small CycleGAN."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.components.image_to_image import FULL_TASK, original
from benchmarks.components.image_to_image.full import as_published, cropped, untranslated
from benchmarks.components.image_to_image.model import CycleGan
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import metric
from tests.original.files import after_a_step, answers, write_photograph

COUNTS = {"train": 2, "test": 1}
ROAD, SKY, NONE = 0, 10, -1


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    write_street(tmp_path, "train", "aachen", left=7, right=23)
    write_street(tmp_path, "train", "bochum", left=23, right=7)
    write_street(tmp_path, "val", "lindau", left=23, right=1)
    return tmp_path


def write_street(folder: Path, split: str, town: str, *, left: int, right: int) -> None:
    """A photograph and its labels, whose halves are of these classes."""
    name = f"{town}_000000_000019"
    photograph = folder / "leftImg8bit" / split / town / f"{name}_leftImg8bit.png"
    write_photograph(photograph, 600, 300)
    ids = np.repeat(np.array([[left, right]], np.uint8), 300, axis=0).repeat(300, axis=1)
    colours = {7: (128, 64, 128, 255), 23: (70, 130, 180, 255), 1: (0, 0, 0, 255)}
    table = np.array([colours.get(number, (0,) * 4) for number in range(256)], np.uint8)
    place = folder / "gtFine" / split / town
    place.mkdir(parents=True)
    Image.fromarray(ids).save(place / f"{name}_gtFine_labelIds.png")
    Image.fromarray(table[ids]).save(place / f"{name}_gtFine_color.png")


def load(folder: Path, split: str) -> Dataset:
    return original.load(folder, split, counts=COUNTS)


def test_labels_to_learn_from_are_of_any_street(cityscapes: Path) -> None:
    train = load(cityscapes, "train")
    assert train.samples[1].shape == train.references[1].shape == (3, 286, 286)
    assert train.samples[1].dtype == train.references[1].dtype == np.uint8
    random.seed(0)
    corners = {tuple(train.references[0][:, 0, 0].tolist()) for _ in range(20)}
    assert corners == {(128, 64, 128), (70, 130, 180)}


def test_classes_to_judge_by_are_the_photographs_own(cityscapes: Path) -> None:
    test = load(cityscapes, "test")
    assert test.samples[0].shape == (3, 256, 256)
    assert test.references.shape == (1, 256, 256)
    assert set(test.references[0, :, :128].ravel().tolist()) == {SKY}
    assert set(test.references[0, :, 128:].ravel().tolist()) == {NONE}
    for told, accuracy in ((SKY, 1), (ROAD, 0)):
        everywhere = np.full((256, 256), told, np.uint8)
        scores = metric("pixel_accuracy").scores([everywhere], test.references)
        assert scores[0, 0] == accuracy


def test_all_photographs_and_labels_must_be_there(cityscapes: Path) -> None:
    with pytest.raises(UserError, match="val has 1 photographs and should have 500: complete it "):
        original.load(cityscapes, "test")
    path = next((cityscapes / "gtFine" / "train" / "bochum").glob("*_color.png"))
    path.unlink()
    with pytest.raises(UserError) as error:
        load(cityscapes, "train")
    assert str(error.value) == (
        f"{path} is missing: put it there as docs/original-data.md describes"
    )


def test_parts_lie_anywhere_and_half_of_them_are_turned_round() -> None:
    random.seed(0)
    ramp = torch.arange(286).clamp(max=255).to(torch.uint8).expand(200, 3, 286, 286)
    parts = cropped(ramp)
    assert parts.shape == (200, 3, 256, 256)
    assert parts.min() == -1
    assert parts.max() == 1
    as_they_are = parts[:, 0, 0, 0] < parts[:, 0, 0, -1]
    assert 80 < int(as_they_are.sum()) < 120
    first = ((parts[as_they_are, 0, 0, 0] + 1) * 127.5).round()
    assert (int(first.min()), int(first.max())) == (0, 30)


def test_a_step_and_an_answer(cityscapes: Path) -> None:
    def small() -> CycleGan:
        return as_published(CycleGan(width=2, halvings=2, blocks=1, kernel=3, judge_halvings=1))

    task = replace(FULL_TASK, build=small)
    train, test = load(cityscapes, "train"), load(cityscapes, "test")
    model = after_a_step(task, train, size=1)
    (answer,) = answers(task, model, test)
    (trivial,) = untranslated(train, test)
    assert answer.shape == trivial.shape == (256, 256)
    assert answer.dtype == trivial.dtype == np.uint8
    assert len(np.unique(trivial)) > 10


def test_pixels_are_signed_and_weights_small_at_first() -> None:
    torch.manual_seed(0)
    model = as_published(CycleGan(width=8, halvings=1, blocks=1, kernel=3, judge_halvings=1))
    translated = model(torch.randn(1, 3, 16, 16))
    assert -1 < translated.min() < 0 < translated.max() < 1
    deviations = [weight.std() for weight in model.parameters() if weight.ndim == 4]
    assert 0.015 < min(deviations) < max(deviations) < 0.025
