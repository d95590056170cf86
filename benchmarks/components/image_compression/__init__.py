"""C12, image compression: a recurrent codec that sends what is missing of photographs in bits."""

from __future__ import annotations

from benchmarks.components.image_compression.full import FULL, FULL_TASK
from benchmarks.components.image_compression.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
