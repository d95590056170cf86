"""Answers do not depend on which samples are in the batch: under load that is chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pytest_aibench.devices import resolve
from pytest_aibench.training import Predictor, Task
from pytest_aibench.training.batches import Samples
from pytest_aibench.training.predictor import predict

_ROUNDING = {"fp32": 1e-5, "bf16": 0.02}


def together_and_alone(predictor: Predictor, samples: Samples) -> tuple[list[Any], list[Any]]:
    """The answers to all samples in one batch, and to each by itself."""
    return predict(predictor, samples, len(samples)), predict(predictor, samples, 1)


def check_batches(task: Task, samples: Samples, precision: str = "fp32") -> list[Any]:
    """Have a task's untrained model answer both ways, and return the answers in one batch."""
    torch.manual_seed(0)
    predictor = task.predictor(task.build(), resolve("cpu")[0], precision)
    together, alone = together_and_alone(predictor, samples)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=_ROUNDING[precision])
    return together
