"""C9: scenes, arithmetic of boxes, both stages of Faster R-CNN, and its learner."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from benchmarks.components import _mnist
from benchmarks.components.object_detection import data
from benchmarks.components.object_detection.boxes import decode, encode, overlaps, survivors
from benchmarks.components.object_detection.losses import (
    Truth,
    detection_loss,
    proposal_loss,
    region_loss,
)
from benchmarks.components.object_detection.model import (
    FasterRCNN,
    Judged,
    Proposed,
    roi_align,
)
from benchmarks.components.object_detection.pictures import pictures
from benchmarks.components.object_detection.predictor import Detector
from benchmarks.components.object_detection.task import TASK
from pytest_aibench.datasets import Dataset
from pytest_aibench.devices import resolve
from pytest_aibench.quality.metrics import metric
from pytest_aibench.training import cpu_threads
from pytest_aibench.training.predictor import predict
from tests.components.batches import together_and_alone

CPU = resolve("cpu")[0]
SURE = 50.0


@pytest.fixture(autouse=True)
def few_scenes_of_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars of other lengths in place of handwriting, on few images."""

    def bars(split: str) -> Dataset:
        sprites = np.zeros((10, 1, 28, 28), np.float32)
        for digit in range(10):
            sprites[digit, 0, 4:24, 4 : 8 + 2 * digit] = 1
        return Dataset("bars", split, sprites, np.arange(10), "CC0-1.0", "drawn")

    monkeypatch.setattr(_mnist, "load", bars)
    monkeypatch.setattr(data, "IMAGES", {"train": 12, "test": 8})


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with cpu_threads(1):
        yield


def random_boxes(*shape: int) -> Tensor:
    low = torch.rand(*shape, 2) * 40
    return torch.cat([low, low + 5 + torch.rand(*shape, 2) * 19], dim=-1)


def test_scenes_hold_one_to_three_digits_inside_the_image() -> None:
    train = data.load("train")
    assert train.samples.shape == (12, 3, 64, 64)
    assert train.samples.dtype == np.uint8
    assert train.references.shape == (12, 3, 5)
    used = train.references[..., 4] >= 0
    assert set(used.sum(1)) == {1, 2, 3}
    objects = train.references[used]
    assert objects[:, 4].max() < data.CLASSES
    assert (objects[:, :4] >= 0).all()
    assert (objects[:, :4] <= data.SIZE).all()
    assert (objects[:, 3] - objects[:, 1] >= data.HEIGHTS[0]).all()


def test_digits_hardly_overlap() -> None:
    for objects in data.load("train").references:
        boxes = torch.tensor(objects[objects[:, 4] >= 0, :4])
        assert overlaps(boxes, boxes).triu(1).max() <= 0.1


def test_a_box_is_where_its_digit_is_painted() -> None:
    image = np.full((64, 64, 3), 0.5, np.float32)
    random = np.random.Generator(np.random.PCG64(3))
    data._paint(image, np.ones((20, 10), np.float32), (30, 12, 40, 32), random)
    rows, columns = np.nonzero((image != 0.5).any(-1))
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (30, 12, 39, 31)
    assert np.abs(image[12, 30] - 0.5).mean() >= 0.4


def test_splits_have_other_photographs_and_are_the_same_each_time() -> None:
    train, test = data.load("train"), data.load("test")
    assert train.fingerprint != test.fingerprint
    assert data.load("test").fingerprint == test.fingerprint
    assert test.licence.startswith("photographs CC0-1.0, CC-BY-2.0")
    assert test.licence.endswith("digits CC0-1.0")
    assert "scikit-image" in test.source


def test_overlaps_of_boxes() -> None:
    box = torch.tensor([[0.0, 0, 4, 4]])
    others = torch.tensor([[0.0, 0, 4, 4], [2, 0, 6, 4], [4, 4, 8, 8], [1, 1, 1, 1]])
    torch.testing.assert_close(overlaps(box, others), torch.tensor([[1, 1 / 3, 0, 0]]))


def test_decoding_undoes_encoding() -> None:
    torch.manual_seed(0)
    boxes, anchors = random_boxes(2, 9), random_boxes(9)
    torch.testing.assert_close(decode(encode(boxes, anchors), anchors, size=64), boxes)


def test_decoded_boxes_stay_in_the_image() -> None:
    torch.manual_seed(0)
    boxes = decode(torch.randn(50, 4) * 30, random_boxes(50), size=64)
    assert boxes.min() == 0
    assert boxes.max() == 64
    (largest,) = decode(torch.tensor([[0.0, 0, 30, 0]]), torch.tensor([[30.0, 30, 34, 34]]), 64)
    assert largest.tolist() == pytest.approx([32 - 2 * math.e**2, 30, 32 + 2 * math.e**2, 34])


@pytest.mark.parametrize("threshold", [0.1, 0.4, 0.7])
def test_survivors_are_those_of_the_greedy_loop(threshold: float) -> None:
    torch.manual_seed(0)
    batch = random_boxes(3, 40)
    for boxes, stays in zip(batch, survivors(batch, threshold), strict=True):
        kept: list[int] = []
        for index in range(len(boxes)):
            if not (overlaps(boxes[[index]], boxes[kept]) > threshold).any():
                kept.append(index)
        assert stays.nonzero().flatten().tolist() == kept


def test_aligned_regions_of_a_slope_are_its_heights_at_the_centres() -> None:
    slope = (torch.arange(8.0) + 0.5).expand(1, 1, 8, 8)
    regions = roi_align(slope, torch.tensor([[[1.0, 2, 7, 4]]]), bins=3)
    assert regions.shape == (1, 1, 1, 3, 3)
    torch.testing.assert_close(regions[0, 0, 0], torch.tensor([2.0, 4, 6]).expand(3, 3))
    upright = roi_align(slope.mT, torch.tensor([[[1.0, 2, 7, 4]]]), bins=2)
    torch.testing.assert_close(upright[0, 0, 0, :, 0], torch.tensor([2.5, 3.5]))


def test_proposals_are_the_best_anchors_without_near_copies() -> None:
    model = FasterRCNN(regions=4)
    anchors = len(model.anchors)
    scores = torch.full((1, anchors), -SURE)
    first, copy, other = 100, 101, 10
    scores[0, [first, copy, other]] = torch.tensor([3.0, 2, 1])
    offsets = torch.zeros(1, anchors, 4)
    offsets[0, copy] = encode(model.anchors[first] + 0.5, model.anchors[copy])
    best = model.propose(Proposed(scores, offsets))
    assert best.shape == (1, 4, 4)
    torch.testing.assert_close(best[0, 0], model.anchors[first].clamp(0, 64))
    torch.testing.assert_close(best[0, 1], model.anchors[other].clamp(0, 64))


def truth_of(model: FasterRCNN, anchor: int, label: int) -> Truth:
    """One object exactly at an anchor, and a row that is not used."""
    boxes = torch.stack([model.anchors[anchor], torch.full((4,), -1.0)])
    return Truth(boxes[None], torch.tensor([[label, -1]]))


def test_proposals_that_are_right_lose_nothing() -> None:
    torch.manual_seed(0)
    model = FasterRCNN()
    truth = truth_of(model, 100, 2)
    scores = torch.where(overlaps(model.anchors, truth.boxes[0, :1])[:, 0] >= 0.7, SURE, -SURE)
    offsets = torch.zeros(1, len(scores), 4)
    assert proposal_loss(Proposed(scores[None], offsets), model.anchors, truth) < 1e-6
    assert proposal_loss(Proposed(-scores[None], offsets), model.anchors, truth) > 10
    assert proposal_loss(Proposed(scores[None], offsets + 1), model.anchors, truth) > 0.01


def test_regions_that_are_named_rightly_lose_nothing() -> None:
    model = FasterRCNN()
    truth = truth_of(model, 100, 2)
    regions = torch.stack([model.anchors[100], model.anchors[0]])[None]
    scores = torch.full((1, 2, 6), -SURE)
    scores[0, 0, 2] = scores[0, 1, 5] = SURE
    offsets = torch.ones(1, 2, 5, 4)
    offsets[0, 0, 2] = 0
    assert region_loss(Judged(scores, offsets), regions, truth) < 1e-6
    assert region_loss(Judged(scores.flip(1), offsets), regions, truth) > 10
    assert region_loss(Judged(scores, offsets + 1), regions, truth) > 0.1


def batch() -> tuple[Tensor, Tensor]:
    train = data.load("train")
    return torch.tensor(train.samples[:4]), torch.tensor(train.references[:4])


def test_gradients_reach_all_weights() -> None:
    torch.manual_seed(0)
    model = FasterRCNN()
    images, objects = batch()
    truth = Truth(objects[..., :4], objects[..., 4].long())
    torch.autograd.backward(detection_loss(model, images / 255, truth))
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    learner = TASK.learner(TASK.build().train(), 16)
    images_and_objects = batch()
    losses = [float(learner.step(*images_and_objects)) for _ in range(8)]
    assert losses[-1] < 0.9 * losses[0]


def test_answers_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    detector = Detector(TASK.build(), CPU, "fp32")
    together, alone = together_and_alone(detector, data.load("test").samples[:8])
    assert sum(map(len, together)) > 0
    for one, other in zip(together, alone, strict=True):
        assert one.shape == (len(one), 6)
        np.testing.assert_allclose(one, other, atol=1e-3)


class Seer(FasterRCNN):
    """Sees an object of class 3 in each region: the last, of which it is surest, at another place.

    Whatever the image is, it is at (10, 20, 30, 50), and the other one at (40, 5, 60, 25).
    """

    def judge(self, features: Tensor, boxes: Tensor) -> Judged:
        """Leave out the second stage."""
        scores = torch.zeros(*boxes.shape[:2], 6)
        scores[..., 3] = torch.arange(boxes.shape[1]) / 4 + 5
        places = torch.tensor([10.0, 20, 30, 50]).repeat(1, boxes.shape[1], 1)
        places[:, -1] = torch.tensor([40.0, 5, 60, 25])
        return Judged(scores, encode(places, boxes)[:, :, None].expand(-1, -1, 5, -1))


def test_copies_of_one_detection_are_suppressed() -> None:
    torch.manual_seed(0)
    (found,) = predict(Detector(Seer(), CPU, "fp32"), [data.load("test").samples[0]], 1)
    places, (labels, scores) = found[:, :4], found[:, 4:].T
    np.testing.assert_allclose(places, [[40, 5, 60, 25], [10, 20, 30, 50]], atol=1e-3)
    assert labels.tolist() == [3, 3]
    assert scores[0] > scores[1] > 0.9


def as_detections(objects: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    used = objects[objects[:, 4] >= 0]
    return np.column_stack([used, np.ones(len(used), np.float32)])


def test_the_truth_is_best_and_the_baseline_far_below_the_target() -> None:
    train, test = data.load("train"), data.load("test")
    map50 = metric(TASK.metric)
    truth = [as_detections(objects) for objects in test.references]
    baseline = TASK.baseline.answer(train, test)
    assert map50.better == "higher"
    assert map50.estimate(map50.scores(truth, test.references)).value == 1
    worth = map50.estimate(map50.scores(baseline, test.references)).value
    assert worth is not None
    assert worth < TASK.target / 2


def test_sure_detections_are_drawn() -> None:
    test = data.load("test")
    outputs = [np.array([[8, 8, 40, 40, 1, 0.9]])] * len(test)
    marked, plain = pictures(test, outputs), pictures(test, [output[:0] for output in outputs])
    assert marked.shape == plain.shape == (192, 8 * 194 - 2, 3)
    assert marked.dtype == np.uint8
    assert marked[3 * 8, 3 * 20].tolist() == [255, 255, 0]
    assert (plain[:, :192] != marked[:, :192]).any()
