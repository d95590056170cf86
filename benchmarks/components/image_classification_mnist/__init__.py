"""C1 again, on scans of digits: the same residual network, where there is more to learn from."""

from __future__ import annotations

from benchmarks.components.image_classification_mnist.task import TASK

__all__ = ["TASK"]
