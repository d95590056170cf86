"""C9 at full size: VOC's folders, ImageNet's weights, a step of a small detector."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks.components._pretrained import begin_with
from benchmarks.components.image_classification.full import ResNet50
from benchmarks.components.object_detection import FULL_TASK, original
from benchmarks.components.object_detection.full import ResNetFasterRCNN, flipped, trunk
from benchmarks.components.object_detection.task import most_frequent_class_at_the_mean_box
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import metric
from tests.original.files import after_a_step, answers, without_weights, write_photograph

COUNTS = {"train": 2, "test": 1}
OBJECT = """<object><name>{}</name><difficult>{}</difficult>
<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"""


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    objects = {
        "000001": [("dog", 0, 1, 11, 20, 30), ("person", 1, 5, 5, 9, 9)],
        "000002": [("car", 0, 1, 1, 40, 20), ("dog", 0, 11, 1, 30, 20)],
        "000003": [("tvmonitor", 0, 3, 5, 36, 28)],
    }
    for name, told in objects.items():
        write_photograph(tmp_path / "JPEGImages" / f"{name}.jpg", 40, 30)
        boxes = "".join(OBJECT.format(*one) for one in told)
        path = tmp_path / "Annotations" / f"{name}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            "<annotation><size><width>40</width><height>30</height><depth>3</depth></size>"
            f"{boxes}</annotation>"
        )
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "trainval.txt").write_text("000001\n000002\n")
    (lists / "test.txt").write_text("000003\n")
    return tmp_path


def load(folder: Path, split: str, side: int = 80) -> Dataset:
    return original.load(folder, split, side=side, counts=COUNTS)


def test_boxes_are_where_they_are_in_the_square(voc: Path) -> None:
    data = load(voc, "train")
    assert data.references.tolist() == [
        [[0, 20, 40, 60, original.CLASSES.index("dog")], [-1] * 5],
        [[0, 0, 80, 40, original.CLASSES.index("car")], [20, 0, 60, 40, 11]],
    ]
    image = data.samples[0]
    assert image.shape == (3, 80, 80)
    assert image[:, 60:].reshape(3, -1).max(axis=1).tolist() == [124, 116, 104]
    assert image[:, :60].std() > 20


def test_all_photographs_must_be_there(voc: Path) -> None:
    with pytest.raises(UserError, match=r"trainval.txt has 2 photographs and should have 5011: "):
        original.load(voc, "train")
    (voc / "JPEGImages" / "000002.jpg").unlink()
    with pytest.raises(UserError, match=r"000002.jpg is missing: put it there as "):
        load(voc, "train")
    broken = voc / "Annotations" / "000003.xml"
    broken.write_text(broken.read_text().replace("tvmonitor", "television"))
    with pytest.raises(UserError, match=rf"^{broken} is no annotation of VOC 2007 \(.*\): put it"):
        load(voc, "test")


def test_weights_of_imagenet_come_into_both_stages(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classifier = ResNet50()
    path = tmp_path / "resnet50.pth"
    torch.save(classifier.state_dict(), path)
    detector = ResNetFasterRCNN(size=96)
    begin_with(trunk(detector), path)
    first, last = detector.backbone[0][0], detector.head.trunk[0][-1].third[1]  # type: ignore[index]
    assert torch.equal(first.weight, classifier[0][0].weight)  # type: ignore[index]
    assert torch.equal(last.bias, classifier[6][-1].third[1].bias)  # type: ignore[index]


def test_flipped_boxes_are_where_their_objects_are() -> None:
    image = torch.zeros(10, 10)
    image[2:5, 1:4] = 1
    ((left, top, right, bottom),) = flipped(torch.tensor([[1, 2, 4, 5]]), 10).tolist()
    assert image.flip(-1)[top:bottom, left:right].sum() == image.sum()


def test_a_step_and_an_answer(voc: Path) -> None:
    build = partial(ResNetFasterRCNN, size=96, regions=4, bins=4)
    small = replace(without_weights(FULL_TASK), build=build)
    train, test = load(voc, "train", 96), load(voc, "test", 96)
    model = after_a_step(small, train, size=1)
    assert not model.get_submodule("backbone.0.1").training
    outputs = answers(small, model, test)
    assert [output.shape[1] for output in outputs] == [6]


def test_the_trivial_answer_is_scored(voc: Path) -> None:
    train, test = load(voc, "train"), load(voc, "test")
    map50 = metric("map50")
    answer = most_frequent_class_at_the_mean_box(train, test)
    assert answer[0][0, 4] == original.CLASSES.index("dog")
    assert map50.scores(answer, test.references).shape[0] == 1
