"""Photographs, the solids made of them, and the true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.components._pictures import Picture, enlarged, sheet
from benchmarks.components.reconstruction_3d.cameras import Bytes, Floats, photographs
from benchmarks.components.reconstruction_3d.shapes import Solid
from pytest_aibench.datasets import Dataset

SHOWN = 24
CAMERA = 1


def pictures(test: Dataset, outputs: Sequence[Floats]) -> Picture:
    """Of 24 test solids the photograph, what was made of it, and the truth from one camera."""
    shown = np.linspace(0, len(test) - 1, SHOWN).astype(int)
    made = np.stack([outputs[sample] for sample in shown]) > 0.5
    given = (test.samples[shown, 0] * 255).astype(np.uint8)
    columns = given, _seen(made), _seen(test.references[shown])
    images = [image for row in zip(*columns, strict=True) for image in row]
    return sheet([enlarged(np.stack([image] * 3, axis=-1), 2) for image in images], columns=12)


def _seen(solids: Solid) -> Bytes:
    photos, _ = photographs(solids)
    return photos[:, CAMERA]
