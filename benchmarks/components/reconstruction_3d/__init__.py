"""C13, 3D object reconstruction: a perspective transformer learns solids from silhouettes."""

from __future__ import annotations

from benchmarks.components.reconstruction_3d.full import FULL, FULL_TASK
from benchmarks.components.reconstruction_3d.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
