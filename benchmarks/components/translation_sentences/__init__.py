"""C3 again, on sentences that people wrote: a recurrent network that attends to its source."""

from __future__ import annotations

from benchmarks.components.translation_sentences.task import TASK

__all__ = ["TASK"]
