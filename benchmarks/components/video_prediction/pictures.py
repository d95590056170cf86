"""Films as they went on, and as they were foreseen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.components._pictures import Picture, as_bytes, enlarged, sheet
from pytest_aibench.datasets import Dataset

SHOWN = 8


def pictures(test: Dataset, outputs: Sequence[npt.NDArray[np.float32]]) -> Picture:
    """Eight films in two rows each: the true frames, and under them the foreseen ones."""
    frames: list[npt.NDArray[np.float32]] = []
    for film in range(SHOWN):
        beginning = test.samples["frames"][film]
        frames += [*beginning, *test.references[film], *beginning, *outputs[film]]
    images = [enlarged(as_bytes(np.stack([frame] * 3, axis=-1)), 3) for frame in frames]
    return sheet(images, columns=len(frames) // (2 * SHOWN))
