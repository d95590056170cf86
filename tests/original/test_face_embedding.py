"""C7 at full size: VGGFace2's folders, LFW's pairs and their accuracy, a step and an answer."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from benchmarks.components.face_embedding import FULL_TASK, original
from benchmarks.components.face_embedding.full import pixel_distances
from benchmarks.components.face_embedding.pairs import NAME, pair_accuracy
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import metric
from tests.original.files import after_a_step, answers, write_photograph

COUNTS = original.Counts(people=2, portraits=5, pairs=2)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    for seed, name in enumerate(("n02/1", "n02/2", "n02/3", "n07/1", "n07/2")):
        write_photograph(tmp_path / "vggface2" / f"{name}.jpg", 200, 190, seed)
    for seed, name in enumerate(("Ann_Lee_0001", "Ann_Lee_0012", "Bo_0002")):
        write_photograph(tmp_path / "lfw" / name[:-5] / f"{name}.jpg", 190, 190, seed)
    (tmp_path / "pairs.txt").write_text("10\t300\nAnn_Lee\t1\t12\nAnn_Lee\t12\tBo\t2\n")
    return tmp_path


def load(folder: Path, split: str) -> Dataset:
    return original.load(folder, split, counts=COUNTS)


def test_a_person_shows_some_of_their_portraits(faces: Path) -> None:
    people = load(faces, "train")
    assert people.references.tolist() == [0, 1]
    random.seed(0)
    first, again = people.samples[0], people.samples[0]
    assert first.shape == (4, 3, 182, 182)
    assert not np.array_equal(first, again)
    random.seed(0)
    assert np.array_equal(people.samples[0], first)


def test_pairs_are_those_of_the_list(faces: Path) -> None:
    pairs = load(faces, "test")
    assert pairs.references.tolist() == [1, 0]
    assert pairs.samples[0].shape == (2, 3, 182, 182)
    assert np.array_equal(pairs.samples[0][1], pairs.samples[1][0])


def test_what_is_missing_is_named(faces: Path) -> None:
    with pytest.raises(UserError, match="vggface2 has 2 people and should have 8631: "):
        original.load(faces, "train")
    with pytest.raises(UserError, match="vggface2 has 5 portraits and should have 6: "):
        original.load(faces, "train", counts=COUNTS._replace(portraits=6))
    with pytest.raises(UserError, match=r"pairs\.txt has 2 pairs and should have 6000: "):
        original.load(faces, "test")
    (faces / "pairs.txt").write_text("10\t300\nAnn_Lee 1 12\n")
    with pytest.raises(UserError, match=r"has a line 'Ann_Lee 1 12': put LFW's own file there$"):
        load(faces, "test")


def test_pair_accuracy_takes_the_threshold_of_the_other_folds() -> None:
    same = np.arange(40) % 2
    distances = np.where(same, 1.0, 3.0)
    assert pair_accuracy(list(distances), same).tolist() == [1.0] * 40
    assert pair_accuracy(list(4 - distances), same).mean() < 0.6
    # In the last fold all is nearer, which the threshold of the others does not know.
    distances[-4:] -= 2
    assert pair_accuracy(list(distances), same)[-4:].tolist() == [0.0, 1.0, 0.0, 1.0]
    assert pair_accuracy(list(distances), same)[:-4].tolist() == [1.0] * 36
    assert metric(NAME).better == "higher"


def test_pair_accuracy_of_what_is_no_distance() -> None:
    same = np.arange(40) % 2
    scores = pair_accuracy([np.nan, *[1.0] * 39], same)
    assert np.flatnonzero(np.isnan(scores)).tolist() == [0]
    with pytest.raises(
        UserError, match=r"^the outputs are no numbers: return the distance of each"
    ):
        pair_accuracy([[1.0, 2.0]] * 40, same)
    with pytest.raises(UserError, match=r"^9 pairs make no 10 folds: give more$"):
        pair_accuracy([1.0] * 9, same[:9])


def test_a_step_and_an_answer(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(original, "PORTRAITS", 2)
    model = after_a_step(FULL_TASK, load(faces, "train"))
    pairs = load(faces, "test")
    first, second = answers(FULL_TASK, model, pairs)
    assert first > 0
    assert first.shape == second.shape == ()
    assert min(pixel_distances(pairs, pairs)) > 0
