"""C4, image-to-text: a convolutional network and an LSTM that caption scenes."""

from __future__ import annotations

from benchmarks.components.image_to_text.full import FULL, FULL_TASK
from benchmarks.components.image_to_text.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
