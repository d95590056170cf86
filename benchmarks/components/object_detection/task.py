"""Object detection as a task: how it is trained, judged and served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from benchmarks.components._common import OneCycle
from benchmarks.components.object_detection.data import CLASSES, SIZE
from benchmarks.components.object_detection.losses import Truth, detection_loss
from benchmarks.components.object_detection.model import FasterRCNN
from benchmarks.components.object_detection.pictures import pictures
from benchmarks.components.object_detection.predictor import Detector
from pytest_aibench.bounds import at_least, at_most
from pytest_aibench.datasets import Dataset
from pytest_aibench.scenarios import MultiStream, Offline, Server, SingleStream
from pytest_aibench.training import Baseline, Supervised, Task

PEAK_LEARNING_RATE = 2e-3


def build() -> nn.Module:
    """A detector of the data set's classes in images of its size."""
    return FasterRCNN(CLASSES, SIZE)


def loss(model: nn.Module, images: Tensor, objects: Tensor) -> Tensor:
    """The losses of both stages, for images of bytes and objects as the data set has them."""
    truth = Truth(boxes=objects[..., :4], classes=objects[..., 4].long())
    return detection_loss(cast("FasterRCNN", model), images / 255, truth)


def optimizer(model: nn.Module) -> Optimizer:
    """Adam with decoupled weight decay."""
    return AdamW(model.parameters(), PEAK_LEARNING_RATE, weight_decay=1e-2)


def most_frequent_class_at_the_mean_box(
    train: Dataset, test: Dataset
) -> Sequence[npt.NDArray[Any]]:
    """The same sure detection for each test image."""
    objects = train.references[train.references[..., 4] >= 0]
    most_frequent = np.bincount(objects[:, 4].astype(np.int64)).argmax()
    return [np.array([[*objects[:, :4].mean(0), most_frequent, 1.0]])] * len(test)


TASK = Task(
    name="object_detection",
    component="C9",
    title="Object detection",
    dataset="digits_on_photos",
    metric="map50",
    target=0.8,
    max_epochs=6,
    batch_size=16,
    cpu_threads=1,
    build=build,
    learner=Supervised(
        loss=loss, optimizer=optimizer, schedule=OneCycle(PEAK_LEARNING_RATE, rise=0.2)
    ),
    predictor=Detector,
    baseline=Baseline(
        name="most frequent class at the mean box", answer=most_frequent_class_at_the_mean_box
    ),
    pictures=pictures,
    time_to_quality=at_most("90 s"),
    scenarios=(
        SingleStream(latency_bound="100 ms"),
        MultiStream(latency_bound="200 ms"),
        Server(target_qps=60, latency_bound="200 ms"),
        Offline(),
    ),
    throughput=at_least("60 samples/s"),
    provenance={
        "component": "AIBench Training DC-AI-C9, object detection: Faster R-CNN on VOC2007",
        "paper": "Ren et al., Faster R-CNN: Towards Real-Time Object Detection with Region "
        "Proposal Networks, 2015",
        "architecture": "the paper's two stages on a backbone of 5 convolutions (there VGG-16, in "
        "AIBench ResNet-50 to its fourth stage), stride 8, 3 anchors of 10 x 24 to 20 x 26 pixels "
        "for 9 of 128 to 512; 12 proposals for 300; ROI-align (He et al., 2017) of 5 x 5 for "
        "ROI-pooling; head of one hidden layer, a box for each class",
        "data": "one to three handwritten digits of 5 classes on crops of real photographs, "
        "64 x 64 pixels; digits and photographs of the test split are not in the training split",
        "optimizer": "AdamW, one-cycle learning rate, 16 images a step, for SGD with 2; 32 anchors "
        "an image for 256; all regions teach the head, the true boxes among them, where the paper "
        "samples; both stages at once (the paper's approximate joint training)",
        "target": "0.80 mAP at an overlap of 0.5 by VOC 2007's 11 points, chosen on seeds 0 to 4; "
        "Faster R-CNN on VOC2007: 0.75 (AIBench)",
    },
)
