"""C2, image generation: a Wasserstein GAN that draws handwritten digits."""

from __future__ import annotations

from benchmarks.components.image_generation.full import FULL, FULL_TASK
from benchmarks.components.image_generation.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
