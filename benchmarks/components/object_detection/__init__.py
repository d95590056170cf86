"""C9, object detection: a small Faster R-CNN finds handwritten digits on photographs."""

from __future__ import annotations

from benchmarks.components.object_detection.full import FULL, FULL_TASK
from benchmarks.components.object_detection.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
