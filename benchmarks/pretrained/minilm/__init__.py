"""all-MiniLM-L6-v2, which embeds sentences, judged on finding docstrings by what they say."""

from __future__ import annotations

from benchmarks.pretrained.minilm.serving import MODEL

__all__ = ["MODEL"]
