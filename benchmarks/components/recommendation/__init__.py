"""C10, recommendation: neural matrix factorisation finds the film that a user rated last."""

from __future__ import annotations

from benchmarks.components.recommendation.full import FULL, FULL_TASK
from benchmarks.components.recommendation.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
