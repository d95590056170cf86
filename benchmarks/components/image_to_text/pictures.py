"""Scenes with the captions that the model wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.components._pictures import Picture, as_bytes, enlarged, sheet
from benchmarks.components.image_to_text.data import RELATIONS
from pytest_aibench.datasets import Dataset

SHOWN = 12
COLUMNS = 4
TIMES = 5
LINE = 12


def pictures(test: Dataset, outputs: Sequence[Any]) -> Picture:
    """Twelve scenes, each over its caption, one phrase a line."""
    images = test.samples["image"][:SHOWN]
    shown = zip(images, outputs[:SHOWN], strict=True)
    return sheet([_captioned(image, answer.caption) for image, answer in shown], COLUMNS)


def _captioned(image: Any, caption: str) -> Picture:
    scene = enlarged(as_bytes(np.moveaxis(image, 0, -1)), TIMES)
    return np.concatenate((scene, _written(caption, scene.shape[1])))


def _written(caption: str, width: int) -> Picture:
    """A caption in black on white; a relation has a line of its own."""
    from PIL import Image, ImageDraw

    for relation in RELATIONS:
        caption = caption.replace(f" {relation} ", f"\n{relation}\n")
    paper = Image.new("RGB", (width, 3 * LINE), "white")
    ImageDraw.Draw(paper).text((2, 0), caption, "black", spacing=0)
    return np.asarray(paper)
