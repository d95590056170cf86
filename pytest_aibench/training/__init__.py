"""Training to a quality target, and the weights that come of it."""

from __future__ import annotations

from pytest_aibench.training.predictor import TensorPredictor
from pytest_aibench.training.runner import Trainer
from pytest_aibench.training.task import Predictor, Task
from pytest_aibench.training.torch_state import cpu_threads

__all__ = ["Predictor", "Task", "TensorPredictor", "Trainer", "cpu_threads"]
