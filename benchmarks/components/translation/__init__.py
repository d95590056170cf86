"""C3, translation: a small Transformer from English to German."""

from __future__ import annotations

from benchmarks.components.translation.full import FULL, FULL_TASK
from benchmarks.components.translation.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
