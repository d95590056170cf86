"""C7, face embedding: FaceNet's triplet loss on rendered portraits of many people."""

from __future__ import annotations

from benchmarks.components.face_embedding.full import FULL
from benchmarks.components.face_embedding.task import TASK

__all__ = ["FULL", "TASK"]
