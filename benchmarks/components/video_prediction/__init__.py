"""C11, video prediction: CDNA foresees what a robot's pushes do."""

from __future__ import annotations

from benchmarks.components.video_prediction.full import FULL, FULL_TASK
from benchmarks.components.video_prediction.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
