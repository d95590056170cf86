"""C15, spatial transformer: a classifier that turns distorted digits upright before it looks."""

from __future__ import annotations

from benchmarks.components.spatial_transformer.full import FULL, FULL_TASK
from benchmarks.components.spatial_transformer.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
