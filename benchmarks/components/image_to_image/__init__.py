"""C5, image-to-image translation: a CycleGAN from photographs of streets to pictures of labels."""

from __future__ import annotations

from benchmarks.components.image_to_image.full import FULL, FULL_TASK
from benchmarks.components.image_to_image.task import TASK

__all__ = ["FULL", "FULL_TASK", "TASK"]
