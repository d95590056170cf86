"""Whisper tiny for English, judged on what a few people say."""

from __future__ import annotations

from benchmarks.pretrained.whisper_tiny.serving import MODEL

__all__ = ["MODEL"]
