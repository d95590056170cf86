"""Image-to-image translation as a task: how it is trained, judged and served."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks.components.image_to_image.data import NAME
from benchmarks.components.image_to_image.learner import CycleLearner
from benchmarks.components.image_to_image.model import CycleGan
from benchmarks.components.image_to_image.palette import Labels, read
from benchmarks.components.image_to_image.pictures import pictures
from benchmarks.components.image_to_image.predictor import LabelPredictor
from pytest_aibench.bounds import at_least, at_most
from pytest_aibench.datasets import Dataset
from pytest_aibench.scenarios import MultiStream, Offline, Server, SingleStream
from pytest_aibench.training import Baseline, Task


def untranslated(train: Dataset, test: Dataset) -> Sequence[Labels]:
    """What is read off the photographs themselves."""
    return list(read(test.samples))


TASK = Task(
    name="image_to_image",
    component="C5",
    title="Image-to-image translation",
    dataset=NAME,
    metric="pixel_accuracy",
    target=0.77,
    max_epochs=6,
    batch_size=4,
    cpu_threads=1,
    build=partial(CycleGan, width=16, halvings=1, blocks=3, kernel=5, judge_halvings=2),
    learner=CycleLearner,
    predictor=LabelPredictor,
    baseline=Baseline(name="photograph as it is", answer=untranslated),
    pictures=pictures,
    time_to_quality=at_most("90 s"),
    scenarios=(
        SingleStream(latency_bound="20 ms"),
        MultiStream(latency_bound="100 ms"),
        Server(target_qps=150, latency_bound="50 ms"),
        Offline(),
    ),
    throughput=at_least("100 samples/s"),
    provenance={
        "component": "AIBench Training DC-AI-C5, image to image: CycleGAN on Cityscapes",
        "paper": "Zhu, Park, Isola and Efros, Unpaired Image-to-Image Translation using "
        "Cycle-Consistent Adversarial Networks, 2017",
        "architecture": "the paper's with 16 channels for 64, one halving for two, 3 residual "
        "blocks for 9, kernels of 5 for 7, and discriminators of patches of 34 x 34 pixels, which "
        "is more than a picture, for 70 x 70; pixels are in [0, 1], so a sigmoid for tanh",
        "data": "400 photographs and the label maps of 400 other streets, drawn at random, 32 x 32 "
        "pixels and 6 classes in the colours of Cityscapes, for training; 200 pairs for the test",
        "optimizer": "the paper's least squares, weights of cycle (10) and identity loss (half of "
        "that, as for paintings), Adam's betas, and rate: constant, then falling to nothing in the "
        "second half; but pixels in [0, 1] halve what these weights weigh, rates are 2e-3 and 1e-3 "
        "for 2e-4, batches are of 4 for 1, and discriminators see only the latest pictures",
        "metric": "share of pixels whose translated colour is nearest to that of their class, from "
        "photographs to labels",
        "trivial": "photographs as they are, read like labels, are right in 0.434 of the pixels, "
        "the most frequent class of each pixel in 0.432, the most frequent class in 0.247; a table "
        "of colours would be in 0.83, but takes labelled photographs to make",
        "target": "0.77, chosen on seeds 0 to 4; AIBench has 0.52 on Cityscapes, and 0.17 for the "
        "mean class and 0.11 for class IoU, which are 0.77 and 0.64 here after all epochs (seed 0)",
    },
)
