"""Photographs in, label maps out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.components.image_to_image.palette import read
from pytest_aibench.training import TensorPredictor

if TYPE_CHECKING:
    from torch import Tensor


class LabelPredictor(TensorPredictor):
    """Translates photographs, and reads the classes off the pictures."""

    def postprocess(self, raw: Tensor) -> list[Any]:
        """The class of each pixel, uint8 of shape (height, width), for each sample."""
        return list(read(raw.float().cpu().numpy()))
