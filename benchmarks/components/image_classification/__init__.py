"""C1, image classification: a small residual network on handwritten digits."""

from __future__ import annotations

from benchmarks.components.image_classification.full import FULL, FULL_TASK
from benchmarks.components.image_classification.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
