"""C8, 3D face recognition: a small residual network on rendered intensity and depth."""

from __future__ import annotations

from benchmarks.components.face_recognition_3d.full import FULL, FULL_TASK
from benchmarks.components.face_recognition_3d.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
