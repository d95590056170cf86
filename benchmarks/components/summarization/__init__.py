"""C14, summarization: an attentional model with copying, on docstrings."""

from __future__ import annotations

from benchmarks.components.summarization.full import FULL, FULL_TASK
from benchmarks.components.summarization.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
