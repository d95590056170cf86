"""Training to a quality target, and the weights that come of it."""

from __future__ import annotations

from pytest_aibench.training.batches import tensors
from pytest_aibench.training.predictor import (
    TensorPredictor,
    cast,
    dtype,
    multiply_accumulates,
    quantization,
)
from pytest_aibench.training.runner import Trainer
from pytest_aibench.training.task import (
    Baseline,
    Batch,
    Learner,
    Predictor,
    Resumable,
    Stateful,
    Supervised,
    Task,
)
from pytest_aibench.training.trainer import cpu_threads

__all__ = [
    "Baseline",
    "Batch",
    "Learner",
    "Predictor",
    "Resumable",
    "Stateful",
    "Supervised",
    "Task",
    "TensorPredictor",
    "Trainer",
    "cast",
    "cpu_threads",
    "dtype",
    "multiply_accumulates",
    "quantization",
    "tensors",
]
