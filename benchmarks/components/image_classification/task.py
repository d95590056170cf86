"""Image classification as a task: how it is trained, judged and served."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from benchmarks.components._common import OneCycle, most_frequent_class
from benchmarks.components.image_classification.model import ResNet8
from pytest_aibench.bounds import at_least, at_most
from pytest_aibench.scenarios import MultiStream, Offline, Server, SingleStream
from pytest_aibench.training import Baseline, Supervised, Task, TensorPredictor

PEAK_LEARNING_RATE = 0.1


def loss(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy with smoothed labels."""
    return functional.cross_entropy(model(images), classes, label_smoothing=0.1)


def optimizer(model: nn.Module) -> Optimizer:
    """Stochastic gradient descent with Nesterov momentum."""
    return SGD(
        model.parameters(), PEAK_LEARNING_RATE, momentum=0.9, nesterov=True, weight_decay=5e-4
    )


def shift(images: Tensor) -> Tensor:
    """Move each image by up to one pixel each way, at random; what comes in is black."""
    n, _, height, width = images.shape
    padded = functional.pad(images, (1, 1, 1, 1))
    down, right = torch.randint(3, (2, n, 1), device=images.device)
    rows = down + torch.arange(height, device=images.device)
    columns = right + torch.arange(width, device=images.device)
    image = torch.arange(n, device=images.device)
    moved = padded[image[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return moved.movedim(-1, 1).contiguous()


TASK = Task(
    name="image_classification",
    component="C1",
    title="Image classification",
    dataset="digits",
    metric="top1",
    target=0.98,
    max_epochs=12,
    batch_size=64,
    cpu_threads=1,
    build=ResNet8,
    learner=Supervised(
        loss=loss, optimizer=optimizer, schedule=OneCycle(PEAK_LEARNING_RATE), augment=shift
    ),
    predictor=TensorPredictor,
    baseline=Baseline(name="most frequent class", answer=most_frequent_class),
    time_to_quality=at_most("20 s"),
    scenarios=(
        SingleStream(latency_bound="50 ms"),
        MultiStream(latency_bound="100 ms"),
        Server(target_qps=150, latency_bound="100 ms"),
        Offline(),
    ),
    throughput=at_least("200 samples/s"),
    provenance={
        "component": "AIBench Training DC-AI-C1, image classification: ResNet-50 on ImageNet",
        "paper": "He et al., Deep Residual Learning for Image Recognition, 2015",
        "architecture": "the paper's network for CIFAR-10 (section 4.2) with one block a stage, "
        "8 layers; shortcuts are 1 x 1 convolutions (option B) where it used option A",
        "data": "digits of 8 x 8 pixels, 10 classes, instead of ImageNet",
        "optimizer": "SGD with momentum 0.9 as in the paper; Nesterov, weight decay 5e-4 for 1e-4, "
        "one-cycle learning rate (Smith and Topin, 2017) for steps, label smoothing 0.1",
        "augmentation": "shifts by up to 1 pixel in padding, as the paper's by 4 on 32; no flips",
        "target": "0.98 top-1, chosen on seeds 0 to 4; ResNet-50 on ImageNet: 0.749 (AIBench)",
    },
)
