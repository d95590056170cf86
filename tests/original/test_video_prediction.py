"""C11 at full size: films in npz files, what is foreseen of them, a step and an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.components.video_prediction import FULL_TASK, original
from benchmarks.components.video_prediction.full import last_frame
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import metric
from tests.original.files import after_a_step, answers

COUNTS = {"test": 2}


@pytest.fixture
def films(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for number in range(2):
            path = tmp_path / split / f"{number}.npz"
            path.parent.mkdir(exist_ok=True)
            np.savez(
                path,
                frames=random.integers(256, size=(12, 64, 64, 3), dtype=np.uint8),
                states=random.random((12, 5), np.float32),
                actions=random.random((12, 5), np.float32),
            )
    return tmp_path


def load(folder: Path, split: str) -> Dataset:
    return original.load(folder, split, counts=COUNTS)


def test_a_film_is_cut_where_it_is_to_be_foreseen(films: Path) -> None:
    train, test = load(films, "train"), load(films, "test")
    with np.load(films / "train" / "1.npz") as film:
        sample, reference = train.samples[1], train.references[1]
        assert sample["frames"][1, 2].tolist() == film["frames"][1, :, :, 2].tolist()
        assert reference["frames"][0, 0].tolist() == film["frames"][2, :, :, 0].tolist()
        assert sample["state"].tolist() == film["states"][0].tolist()
        assert reference["states"].tolist() == film["states"][2:10].tolist()
        assert sample["actions"].tolist() == film["actions"][:9].tolist()
    assert test.references.shape == (2, 8, 3, 64, 64)


def test_films_are_counted_and_looked_at(films: Path) -> None:
    with pytest.raises(UserError, match="test has 2 films and should have 1500: "):
        original.load(films, "test")
    path = films / "train" / "0.npz"
    np.savez(path, frames=np.zeros((9, 64, 64, 3), np.uint8))
    with pytest.raises(UserError) as error:
        load(films, "train").samples[0]
    assert str(error.value) == (
        f"{path} has no array 'frames' of shape (t, 64, 64, 3) with t of 10 or more: "
        "export it as docs/original-data.md describes"
    )
    for one in (films / "train").iterdir():
        one.unlink()
    with pytest.raises(UserError, match="train has 0 films and should have 1: "):
        load(films, "train")


def test_a_step_and_an_answer(films: Path) -> None:
    test = load(films, "test")
    outputs = answers(FULL_TASK, after_a_step(FULL_TASK, load(films, "train"), size=1), test)
    assert [output.shape for output in outputs] == [(8, 3, 64, 64)] * 2
    assert 1 < outputs[0].max() <= 255
    mse = metric(FULL_TASK.metric)
    for told in (outputs, last_frame(test, test)):
        assert 1000 < mse.scores(told, test.references).mean() < 30_000
