"""Real pretrained models, one folder each: served as they were published, not trained here."""

from __future__ import annotations

from benchmarks.pretrained._model import Pretrained
from benchmarks.pretrained.efficientnet_lite0 import MODEL as EFFICIENTNET_LITE0
from benchmarks.pretrained.minilm import MODEL as MINILM

__all__ = ["MODELS", "Pretrained"]

MODELS: tuple[Pretrained, ...] = (EFFICIENTNET_LITE0, MINILM)
