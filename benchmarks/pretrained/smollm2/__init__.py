"""SmolLM2, a small language model: judged on what it reads, and on how fast it writes."""

from __future__ import annotations

from benchmarks.pretrained.smollm2.serving import READER, WRITER

__all__ = ["READER", "WRITER"]
