"""Real pretrained models, one folder each: served as they were published, not trained here."""

from __future__ import annotations

from benchmarks.pretrained._model import Pretrained
from benchmarks.pretrained.efficientnet_lite0 import MODEL as EFFICIENTNET_LITE0
from benchmarks.pretrained.minilm import MODEL as MINILM
from benchmarks.pretrained.smollm2 import READER as SMOLLM2
from benchmarks.pretrained.smollm2 import WRITER as SMOLLM2_WRITER
from benchmarks.pretrained.whisper_tiny import MODEL as WHISPER_TINY

__all__ = ["MODELS", "Pretrained"]

MODELS: tuple[Pretrained, ...] = (
    EFFICIENTNET_LITE0,
    MINILM,
    WHISPER_TINY,
    SMOLLM2,
    SMOLLM2_WRITER,
)
