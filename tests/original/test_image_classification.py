"""C1 at full size: ImageNet's folders, its crops, and a step of the learner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.components.image_classification import FULL_TASK, original
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError
from tests.original.files import after_a_step, answers, write_photograph

COUNTS = {"train": 2, "test": 2}


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for seed, synset in enumerate(("n01440764", "n01443537")):
            path = tmp_path / split / synset / f"{synset}_{split}.JPEG"
            write_photograph(path, 320, 240, seed)
    (tmp_path / "val" / "README.txt").write_text("not a class")
    return tmp_path


def load(folder: Path, split: str) -> Dataset:
    return original.load(folder, split, classes=2, counts=COUNTS)


@pytest.mark.parametrize(("split", "side"), [("train", 256), ("test", 224)])
def test_photographs_are_read_when_asked_for(imagenet: Path, split: str, side: int) -> None:
    data = load(imagenet, split)
    assert len(data) == COUNTS[split]
    assert data.samples[0].shape == (3, side, side)
    assert data.samples[0].dtype == np.uint8
    assert data.references.tolist() == [0, 1]


def test_all_photographs_and_classes_must_be_there(imagenet: Path) -> None:
    with pytest.raises(UserError, match="train has 2 classes and should have 1000: "):
        original.load(imagenet, "train")
    with pytest.raises(UserError) as error:
        original.load(imagenet, "train", classes=2, counts={"train": 3})
    assert str(error.value) == (
        f"{imagenet / 'train'} has 2 photographs and should have 3: complete it as "
        "docs/original-data.md describes"
    )


def test_a_step_and_an_answer(imagenet: Path) -> None:
    model = after_a_step(FULL_TASK, load(imagenet, "train"), size=1)
    outputs = answers(FULL_TASK, model, load(imagenet, "test"))
    assert [output.shape for output in outputs] == [(1000,)] * 2
