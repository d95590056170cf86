"""C17, architecture search: ENAS looks for a recurrent cell that models text."""

from __future__ import annotations

from benchmarks.components.architecture_search.full import FULL, FULL_TASK
from benchmarks.components.architecture_search.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
