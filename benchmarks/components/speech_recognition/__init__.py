"""C6, speech recognition: a small Deep Speech 2 on synthetic voices."""

from __future__ import annotations

from benchmarks.components.speech_recognition.full import FULL, FULL_TASK
from benchmarks.components.speech_recognition.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
