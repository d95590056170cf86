"""C8 at full size: portraits in colour and depth, a step and an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.components._pretrained import begin_with
from benchmarks.components.face_recognition_3d import FULL_TASK, original
from benchmarks.components.face_recognition_3d.full import trunk
from benchmarks.components.image_classification.full import ResNet50
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError
from tests.original.files import after_a_step, answers, without_weights, write_photograph

COUNTS = original.Counts(people=2, portraits=4)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    for part in ("train", "test"):
        for number, person in enumerate(("p1", "p2")):
            path = write_photograph(tmp_path / part / person / "a_colour.png", 60, 60)
            far = np.full((60, 60), 256 * (number + 7), np.uint16)
            Image.fromarray(far).save(path.with_name("a_depth.png"))
    return tmp_path


def load(folder: Path, split: str) -> Dataset:
    return original.load(folder, split, counts=COUNTS)


def test_depth_is_the_fourth_channel(faces: Path) -> None:
    data = load(faces, "train")
    assert data.references.tolist() == [0, 1]
    first, second = data.samples
    assert first.shape == (4, 224, 224)
    assert first.dtype == np.uint8
    assert (np.unique(first[3]).tolist(), np.unique(second[3]).tolist()) == ([7], [8])


def test_what_is_missing_is_named(faces: Path) -> None:
    with pytest.raises(UserError, match="train has 2 people and should have 253: "):
        original.load(faces, "test")
    with pytest.raises(UserError, match="has 4 portraits and should have 5: "):
        original.load(faces, "test", counts=COUNTS._replace(portraits=5))
    (faces / "test" / "p2" / "a_depth.png").unlink()
    with pytest.raises(UserError, match=r"a_depth\.png is missing: put it there as "):
        load(faces, "train")


def test_weights_of_imagenet_are_for_the_colours(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classifier = ResNet50()
    path = tmp_path / "resnet50.pth"
    torch.save(classifier.state_dict(), path)
    model = FULL_TASK.build()
    before = model.state_dict()["1.0.0.weight"][:, 3:].clone()
    begin_with(trunk(model), path)
    after = model.state_dict()["1.0.0.weight"]
    assert torch.equal(after[:, :3], classifier.state_dict()["0.0.weight"])
    assert torch.equal(after[:, 3:], before)


def test_a_step_and_an_answer(faces: Path) -> None:
    task = without_weights(FULL_TASK)
    model = after_a_step(task, load(faces, "train"), size=1)
    assert [output.shape for output in answers(task, model, load(faces, "test"))] == [(253,)] * 2
