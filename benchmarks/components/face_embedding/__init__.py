"""C7, face embedding: FaceNet's triplet loss on rendered portraits of many people."""

from __future__ import annotations

from benchmarks.components.face_embedding.full import FULL, FULL_TASK
from benchmarks.components.face_embedding.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
