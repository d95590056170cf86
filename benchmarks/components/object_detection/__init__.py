"""C9, object detection: a small Faster R-CNN finds handwritten digits on photographs."""

from __future__ import annotations

from benchmarks.components.object_detection.full import FULL
from benchmarks.components.object_detection.task import TASK

__all__ = ["FULL", "TASK"]
