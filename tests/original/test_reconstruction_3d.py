"""C13 at full size: chairs in npz files, their silhouettes, a step and an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.components.reconstruction_3d import FULL_TASK, original
from benchmarks.components.reconstruction_3d.full import Reconstruction, mean_shape
from benchmarks.components.reconstruction_3d.model import projected
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError
from tests.original.files import after_a_step, answers

PARTS = {"train": 2, "val": 1, "test": 2}
CHAIRS = sum(PARTS.values())


@pytest.fixture
def shapenet(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for part, count in PARTS.items():
        for number in range(count):
            path = tmp_path / part / f"{number}.npz"
            path.parent.mkdir(exist_ok=True)
            solid = np.zeros((32, 32, 32), np.bool_)
            solid[4:20, 8:24, 8 : 24 - number] = True
            np.savez(
                path,
                voxels=solid,
                photographs=random.integers(256, size=(24, 64, 64, 3), dtype=np.uint8),
                silhouettes=random.integers(2, size=(24, 32, 32), dtype=np.uint8) * 255,
            )
    return tmp_path


def load(folder: Path, split: str) -> Dataset:
    return original.load(folder, split, chairs=CHAIRS)


def test_chairs_are_photographed_to_learn_and_made_of_voxels_to_judge(shapenet: Path) -> None:
    train, test = load(shapenet, "train"), load(shapenet, "test")
    assert train.samples[0].shape == (24, 3, 64, 64)
    assert train.references[0].shape == (24, 32, 32)
    assert test.references.shape == (2, 32, 32, 32)
    with np.load(shapenet / "test" / "1.npz") as chair:
        assert test.samples[1].tolist() == chair["photographs"][1].transpose(2, 0, 1).tolist()
        assert (test.references[1] == chair["voxels"]).all()


def test_all_chairs_must_be_there(shapenet: Path) -> None:
    with pytest.raises(UserError, match="has 5 chairs and should have 6778: "):
        original.load(shapenet, "train")
    path = shapenet / "test" / "0.npz"
    np.savez(path, voxels=np.zeros((24, 24, 24), np.bool_))
    with pytest.raises(UserError) as error:
        load(shapenet, "test")
    assert str(error.value) == (
        f"{path} has no array 'voxels' of shape (32, 32, 32): export it as "
        "docs/original-data.md describes"
    )


def test_every_camera_sees_the_whole_cube() -> None:
    cameras = Reconstruction().cameras
    assert cameras.shape == (24, 32, 32, 32, 3)
    solid = torch.ones(1, 32, 32, 32)
    (silhouettes,) = projected(solid, cameras)
    assert 0.2 < silhouettes.mean() < 0.8
    edge = torch.ones_like(silhouettes[0], dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert silhouettes[:, edge].max() == 0
    assert silhouettes[:, 15:17, 15:17].min() == 1


def test_the_trivial_answer_is_what_many_chairs_fill(shapenet: Path) -> None:
    train, test = load(shapenet, "train"), load(shapenet, "test")
    first, _ = mean_shape(train, test)
    assert first.sum() in (16 * 16 * 16, 16 * 16 * 15)


def test_a_step_and_an_answer(shapenet: Path) -> None:
    model = after_a_step(FULL_TASK, load(shapenet, "train"), size=1)
    outputs = answers(FULL_TASK, model, load(shapenet, "test"))
    assert [output.shape for output in outputs] == [(32, 32, 32)] * 2
    assert 0 < outputs[0].min() < outputs[0].max() < 1
