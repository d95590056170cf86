"""C16, learning to rank: a small recommender of sequences learns from a large one."""

from __future__ import annotations

from benchmarks.components.learning_to_rank.full import FULL, FULL_TASK
from benchmarks.components.learning_to_rank.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
